"""Where the tracker starts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.stores import info
from verl_spo.config import SPOConfig, StoreConfig
from verl_spo.errors import RewardError, StoreError
from verl_spo.store import open_writer
from verl_spo.store.records import InitScores, PromptRecord, TrackerRows
from verl_spo.store.runs.status import Status
from verl_spo.training.initial.sources import initial_tracker, scores_file, tracker_of
from verl_spo.training.prompts.pool import PromptPool


@pytest.fixture
def pool() -> PromptPool:
    rows = [
        {
            "data_source": "arithmetic",
            "prompt": [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"1+{n}"}],
            "reward_model": {"ground_truth": str(1 + n)},
        }
        for n in range(4)
    ]
    return PromptPool(rows)


def test_the_prior_is_the_same_everywhere(pool: PromptPool) -> None:
    tracker = initial_tracker(SPOConfig(prior=0.25, prior_n_eff=2.0), pool)
    assert tracker.value().tolist() == [0.25] * 4
    assert tracker.n_eff().tolist() == [2.0] * 4


def test_a_file_names_prompts_by_digest_or_by_text_and_others_start_at_the_prior(
    pool: PromptPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps({pool.digests[1].hex(): [1, 1, 1], "1+2": [-1, 1], "another prompt": [1]}))
    config = SPOConfig(init="file", init_file=str(file), init_n_eff=8.0, reward_low=-1.0)
    tracker = initial_tracker(config, pool)
    assert tracker.value() == pytest.approx([0.5, 3.5 / 4, 1.5 / 3, 0.5])
    assert tracker.n_eff() == pytest.approx([1.0, 8.0, 8.0, 1.0])
    assert "2 of 4 prompts known" in caplog.text


def test_scores_outside_the_range_are_refused(pool: PromptPool, tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps({"1+2": [7]}))
    with pytest.raises(RewardError, match=r"reward=7 for prompt 1\+2"):
        initial_tracker(SPOConfig(init="file", init_file=str(file)), pool)


def test_of_an_earlier_run_counts_what_it_visited_or_scored(pool: PromptPool, tmp_path: Path) -> None:
    url, none = f"sqlite:///{tmp_path}/store.db", np.zeros(4)
    values, visits = np.array([0.2, 0.9, 0.6, 0.7]), np.array([3, 0, 0, 0])
    records = [PromptRecord(digest, "arithmetic", [], "") for digest in reversed(pool.digests)]
    rows = TrackerRows(np.arange(4), values, 1 - values, none, visits, visits)
    writer = open_writer(StoreConfig(url=url), info("math/old"), records, rows, None)
    writer.add_init_scores(InitScores([1], [8], [7.0]))
    writer.close(Status.FINISHED)
    config = SPOConfig(init="run", init_run="math/old", init_n_eff=5.0, store=StoreConfig(url=url))
    tracker = initial_tracker(config, pool)
    assert tracker.value() == pytest.approx([0.5, 0.5, 0.9, 0.2])
    assert tracker.n_eff() == pytest.approx([1.0, 1.0, 5.0, 5.0])


def test_a_run_that_is_not_there_is_named(pool: PromptPool, tmp_path: Path) -> None:
    store = StoreConfig(url=f"sqlite:///{tmp_path}/store.db")
    records = [PromptRecord(digest, "arithmetic", [], "") for digest in pool.digests]
    none = np.zeros(4)
    rows = TrackerRows(np.arange(4), none + 1, none + 1, none, none, none)
    open_writer(store, info("math/olds"), records, rows, None).close(Status.FINISHED)
    with pytest.raises(StoreError, match=r"run 'math/old': not in .*there is 'math/olds'"):
        initial_tracker(SPOConfig(init="run", init_run="math/old", store=store), pool)


@pytest.mark.parametrize("options", [{}, {"reward_low": -1.0}, {"reward_low": -1.0, "reward_threshold": 0.5}])
def test_estimates_that_were_written_to_a_file_are_read_as_they_were(
    pool: PromptPool, tmp_path: Path, options: dict[str, float]
) -> None:
    file, config = tmp_path / "scores.json", SPOConfig(**options)
    written = scores_file(config, {pool.digests[0]: (8, 0.0), pool.digests[1]: (8, 3.0), pool.digests[3]: (2, 2.0)})
    file.write_text(json.dumps(written))
    tracker = initial_tracker(replace(config, init="file", init_file=str(file)), pool)
    assert tracker.value() == pytest.approx([0.5 / 9, 3.5 / 9, 0.5, 2.5 / 3])


def test_prompts_of_one_text_share_its_scores_and_add_their_own(tmp_path: Path) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": "1+1"}], "reward_model": {"ground_truth": truth}}
        for truth in ("2", "10")
    ]
    pool, file = PromptPool(rows), tmp_path / "scores.json"
    file.write_text(json.dumps({"1+1": [1, 0], pool.digests[1].hex(): [1]}))
    tracker = initial_tracker(SPOConfig(init="file", init_file=str(file)), pool)
    assert tracker.value() == pytest.approx([1.5 / 3, 2.5 / 4])
    assert tracker.n_eff() == pytest.approx([8.0, 8.0])


def test_a_tracker_knows_what_it_knows() -> None:
    tracker = tracker_of(SPOConfig(), np.array([True, False]), np.array([0.9, 0.9]))
    assert tracker.value() == pytest.approx([0.9, 0.5])
    assert tracker.n_eff() == pytest.approx([8.0, 1.0])
