"""The metrics of a step that say more than a mean."""

import numpy as np
import pytest

from verl_spo import SPO, SPOConfig
from verl_spo.training.metrics import step_metrics


def metrics_of_a_revisit(retention: str, change: list[float]) -> dict[str, float]:
    """Of a second step on the same prompts and one that is new."""
    spo = SPO(SPOConfig(retention=retention), pool_size=8, batch_size=4)
    for slots, known in ([0, 1, 2], [np.nan] * 3), ([0, 1, 2, 3], change):
        dispatched = spo.dispatch(slots=slots)
        done = spo.complete(dispatched.uids, np.ones(len(slots)), policy_change=known)
        spo.publish(0.02)
    return step_metrics(spo, done, failed=0, update_change=None, queue_depth=0, disk_free_gb=9.5)


@pytest.mark.parametrize(("change", "known"), [([0.1, 0.2, 0.3], 1), ([0.1, np.nan, 0.2], 2 / 3), ([np.nan] * 3, 0)])
def test_the_share_of_known_responses_is_that_of_the_revisits(change: list[float], known: float) -> None:
    assert metrics_of_a_revisit("kl", [*change, np.nan])["spo/known"] == pytest.approx(known)


def test_only_kl_knows_responses() -> None:
    assert "spo/known" not in metrics_of_a_revisit("constant", [np.nan] * 4)


def test_rewards_that_were_clipped_are_counted() -> None:
    spo = SPO(SPOConfig(retention="constant", reward_out_of_range="clip"), pool_size=8, batch_size=4)
    done = spo.complete(spo.dispatch(4).uids, [-1, 0, 1, 1.5])
    metrics = step_metrics(spo, done, failed=0, update_change=None, queue_depth=0, disk_free_gb=9.5)
    assert metrics["spo/reward_clipped"] == 2
    assert metrics["spo/reward"] == 0.5
