"""Which of an interrupted attempt's estimates may be used again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from tests.support.stores import info
from verl_spo.config import SPOConfig, StoreConfig
from verl_spo.store import open_writer
from verl_spo.store.records import InitScores, PromptRecord, TrackerRows
from verl_spo.store.runs.status import Status
from verl_spo.training import verl_options
from verl_spo.training.initial.earlier import earlier_estimates
from verl_spo.training.prompts.pool import PromptPool

pytestmark = pytest.mark.slow


@pytest.fixture
def pool() -> PromptPool:
    truths = ({"ground_truth": str(n)} for n in range(3))
    return PromptPool([{"prompt": [{"role": "user", "content": "1"}], "reward_model": truth} for truth in truths])


def config_of(**changes: Any) -> DictConfig:
    config = OmegaConf.create(
        {
            "data": {"max_prompt_length": 16},
            "actor_rollout_ref": {"model": {"path": "model"}, "rollout": {"temperature": 1.0, "response_length": 8}},
            "reward": {"custom_reward_function": {"path": "https://me:secret@host/reward.py"}},
            "spo": {"reward_low": 0.0, "init": "rollouts"},
            "trainer": {"project_name": "math", "experiment_name": "run"},
        }
    )
    for name, value in changes.items():
        OmegaConf.update(config, name.replace("__", "."), value)
    return config


@pytest.fixture
def options(pool: PromptPool, tmp_path: Path) -> SPOConfig:
    """Of a run whose earlier attempt scored the middle prompt."""
    store = StoreConfig(url=f"sqlite:///{tmp_path}/store.db")
    records = [PromptRecord(digest, "unknown", [], "") for digest in pool.digests]
    ones, none = np.ones(3), np.zeros(3)
    rows = TrackerRows(np.arange(3), ones, ones, none, none, none)
    writer = open_writer(store, info("math/run", config=verl_options.plain(config_of())), records, rows, None)
    writer.add_init_scores(InitScores(np.array([1]), np.array([8]), np.array([7.0])))
    writer.close(Status.FAILED)
    return SPOConfig(init="rollouts", store=store)


@pytest.mark.parametrize(
    ("changes", "reused"),
    [
        ({}, True),
        ({"trainer__total_epochs": 3}, True),
        ({"reward__num_workers": 2}, True),
        ({"data__apply_chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"trainer__experiment_name": "other"}, False),
        ({"actor_rollout_ref__model__path": "other"}, False),
        ({"actor_rollout_ref__rollout__temperature": 0.7}, False),
        ({"reward__custom_reward_function__path": "other.py"}, False),
        ({"spo__reward_low": -1.0}, False),
    ],
)
def test_estimates_are_used_again_where_policy_rollouts_and_rewards_are_the_same(
    pool: PromptPool, options: SPOConfig, changes: dict[str, Any], reused: bool
) -> None:
    estimates = earlier_estimates(config_of(**changes), options, pool)
    assert estimates.responses.tolist() == ([0, 8, 0] if reused else [0, 0, 0])
    assert estimates.reward_sum.tolist() == ([0, 7, 0] if reused else [0, 0, 0])


def test_no_other_start_asks_for_them(pool: PromptPool, options: SPOConfig) -> None:
    assert earlier_estimates(config_of(), SPOConfig(store=options.store), pool).responses.tolist() == [0, 0, 0]


def test_a_changed_option_is_named(pool: PromptPool, options: SPOConfig, caplog: pytest.LogCaptureFixture) -> None:
    earlier_estimates(config_of(actor_rollout_ref__rollout__temperature=0.7), options, pool)
    assert "actor_rollout_ref.rollout.temperature changed" in caplog.text


@pytest.mark.parametrize("keep", [True, False])
def test_a_run_that_begins_anew_keeps_scores_only_if_they_are_its_own(
    pool: PromptPool, options: SPOConfig, keep: bool
) -> None:
    records = [PromptRecord(digest, "unknown", [], "") for digest in pool.digests]
    ones, none = np.ones(3), np.zeros(3)
    rows = TrackerRows(np.arange(3), ones, ones, none, none, none)
    again = info("math/run", config=verl_options.plain(config_of()))
    open_writer(options.store, again, records, rows, None, keep_scores=keep).close(Status.FINISHED)
    assert earlier_estimates(config_of(), options, pool).responses.tolist() == ([0, 8, 0] if keep else [0, 0, 0])
