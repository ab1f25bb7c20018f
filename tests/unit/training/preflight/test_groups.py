"""Recipes without SPO: groups of one teach nothing."""

import inspect
from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training import preflight
from verl_spo.training.preflight import groups

GRPO = "cpu/arithmetic_grpo"
ONE = "actor_rollout_ref.rollout.n=1"


@pytest.mark.parametrize("estimator", groups.ESTIMATORS)
def test_a_group_of_one_is_refused(demo_dir: Path, estimator: str) -> None:
    config = configure(demo_dir, f"algorithm.adv_estimator={estimator}", ONE, recipe=GRPO)
    with pytest.raises(ConfigError) as caught:
        preflight.check_without_spo(config)
    assert str(caught.value).startswith(
        f"{ONE}: algorithm.adv_estimator={estimator} compares the responses to a prompt"
    )
    config.actor_rollout_ref.rollout.n = 2
    preflight.check_without_spo(config)


@pytest.mark.parametrize("estimator", ["gae", "reinforce_plus_plus", "remax", "mine"])
def test_other_estimators_need_no_group(demo_dir: Path, estimator: str) -> None:
    preflight.check_without_spo(configure(demo_dir, f"algorithm.adv_estimator={estimator}", ONE, recipe=GRPO))


def test_estimators_of_groups_are_those_that_verl_tells_the_group_of_a_row() -> None:
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

    told = {
        name for name, function in ADV_ESTIMATOR_REGISTRY.items() if "index" in inspect.signature(function).parameters
    }
    assert told - {"spo"} == set(groups.ESTIMATORS)
