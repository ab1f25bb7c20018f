"""A run goes on from another one's state, with options of its own."""

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest

from verl_spo.config import BaselineKind, RetentionKind, SamplingKind, SPOConfig
from verl_spo.core.previous_responses import Response
from verl_spo.core.spo import SPO
from verl_spo.errors import CheckpointError

POOL, BATCH = 30, 10
KINDS = get_args(RetentionKind)


def make(pool: int = POOL, **options: Any) -> SPO:
    return SPO(SPOConfig(rho=0.8, **options), pool_size=pool, batch_size=BATCH)


def train(spo: SPO, steps: int) -> SPO:
    rng = np.random.default_rng(spo.state_dict()["published"])
    for _ in range(steps):
        drawn = spo.dispatch(BATCH)
        rewards, change = rng.integers(0, 2, BATCH), rng.uniform(0, 0.1, BATCH)
        spo.complete(drawn.uids, rewards, np.ones(BATCH), policy_change=change, squared_norms=np.ones(BATCH))
        spo.publish(0.02)
    return spo


def n_eff(spo: SPO) -> np.ndarray:
    return spo.tracker.n_eff(clock=spo.retention.clock)


@pytest.mark.parametrize(("before", "after"), list(product(KINDS, KINDS)))
def test_values_and_evidence_go_on_under_every_retention(before: RetentionKind, after: RetentionKind) -> None:
    parent = train(make(retention=before), steps=6)
    parent.dispatch(BATCH)
    branch = make(retention=after)
    branch.branch_from(parent.state_dict())
    np.testing.assert_allclose(branch.tracker.value(), parent.tracker.value(), rtol=1e-12)
    np.testing.assert_allclose(n_eff(branch), n_eff(parent), rtol=1e-12)
    np.testing.assert_array_equal(branch.tracker.visits, parent.tracker.visits)
    assert branch.in_flight == parent.in_flight
    waiting = branch.in_flight
    branch.complete(
        waiting, np.ones(BATCH), np.ones(BATCH), versions=np.full(BATCH, 4), policy_change=np.full(BATCH, 0.02)
    )
    branch.publish(0.02)
    assert np.isfinite(train(branch, steps=3).tracker.value()).all()


@pytest.mark.parametrize(("before", "after"), list(product(get_args(SamplingKind), repeat=2)))
def test_draws_of_another_kind_begin_anew(before: SamplingKind, after: SamplingKind) -> None:
    parent, branch = train(make(sampling=before), steps=3), make(sampling=after)
    branch.branch_from(parent.state_dict())
    kept = parent if before == after else make(sampling=after)
    np.testing.assert_equal(branch.sampler.credits(), kept.sampler.credits())
    assert np.unique(branch.dispatch(BATCH).slots).size == BATCH


@pytest.mark.parametrize("retention", KINDS)
def test_with_the_same_options_it_goes_on_bit_for_bit(retention: RetentionKind) -> None:
    parent = train(make(retention=retention, baseline="optimal"), steps=6)
    branch = make(retention=retention, baseline="optimal")
    branch.branch_from(parent.state_dict())
    np.testing.assert_equal(train(branch, 3).state_dict(), train(parent, 3).state_dict())


@pytest.mark.parametrize(("before", "after"), list(product(get_args(BaselineKind), repeat=2)))
def test_another_baseline_begins_anew(before: BaselineKind, after: BaselineKind) -> None:
    branch = make(baseline=after)
    branch.branch_from(train(make(baseline=before), steps=3).state_dict())
    expected = train(make(baseline=before), steps=3) if before == after else make(baseline=after)
    np.testing.assert_equal(branch.baseline.state_dict(), expected.baseline.state_dict())
    train(branch, steps=2)


def test_evidence_that_faded_away_keeps_its_value() -> None:
    parent = make(retention="event", event_step="published")
    for _ in range(4000):
        parent.publish()
    assert n_eff(parent).max() == 0
    branch = make(retention="constant")
    branch.branch_from(parent.state_dict())
    np.testing.assert_allclose(branch.tracker.value(), 0.5)


def test_previous_responses_are_kept_only_where_they_are_scored_again() -> None:
    parent = make(retention="kl")
    tokens = np.arange(3, dtype=np.int32)
    parent.previous.put(0, Response(tokens, tokens, np.ones(3, dtype=bool), np.zeros(3, dtype=np.float32)))
    for retention, kept in (("kl", 1), ("drift", 0)):
        branch = make(retention=retention)
        branch.branch_from(parent.state_dict())
        assert len(branch.previous) == kept


def test_another_pool_is_refused() -> None:
    with pytest.raises(CheckpointError, match="value tracker: the checkpoint has alpha of shape"):
        make(pool=POOL + 1).branch_from(train(make(), steps=1).state_dict())
