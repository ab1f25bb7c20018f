"""verl's own refusals come as one line, with verl's names of what it knows."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.launching import recipes
from verl_spo.training.preflight import verl_checks

RECIPE = "qwen3_8b/spo_megatron"
ACTOR = "actor_rollout_ref.actor"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes.names())
def test_verl_takes_every_recipe(demo_dir: Path, recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(demo_dir, recipe=recipe)
    verl_checks.check(config)
    verl_checks.check_groups(config)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            f"{ACTOR}.policy_loss.loss_mode=foo",
            f"{ACTOR}.policy_loss.loss_mode='foo': verl does not know it; there are ",
        ),
        ("algorithm.adv_estimator=foo", "algorithm.adv_estimator='foo': verl does not know it; there are "),
        (f"{ACTOR}.loss_agg_mode=foo", "verl's validate_config: Invalid loss_agg_mode: foo"),
        (f"{ACTOR}.megatron.dtype=float32", "verl's validate_config: dtype float32 not supported"),
    ],
)
def test_what_verl_refuses_or_does_not_know(demo_dir: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verl_checks.check(configure(demo_dir, override, recipe=RECIPE))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("actor_rollout_ref.rollout.mode=sync", "actor_rollout_ref.rollout: Rollout mode 'sync' has been removed"),
        ("actor_rollout_ref.ref.megatron.dtype=float32", "actor_rollout_ref.ref: dtype float32 not supported"),
    ],
)
def test_a_group_that_makes_no_dataclass_is_refused(demo_dir: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verl_checks.check_groups(configure(demo_dir, override, recipe=RECIPE))
    assert expected in str(caught.value)


def test_a_module_of_the_users_may_bring_names(demo_dir: Path) -> None:
    config = configure(demo_dir, f"{ACTOR}.policy_loss.loss_mode=mine", recipe=RECIPE)
    config.actor_rollout_ref.model.external_lib = "mine"
    verl_checks.check(config)
