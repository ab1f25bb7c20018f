"""All that is wrong with a recipe is found at once."""

from pathlib import Path

import pytest

from tests.support import configured
from verl_spo.launching.doctor import Finding, examine

pytestmark = pytest.mark.slow

RECIPE = "gpu/arithmetic_spo_megatron"


@pytest.fixture
def demo_dir(tmp_path: Path) -> str:
    configured.make_files(tmp_path)
    return f"demo_dir={tmp_path}"


def examined(*overrides: str, recipe: str = RECIPE) -> dict[str, Finding]:
    return {found.subject: found for found in examine(recipe, overrides)}


def statuses(found: dict[str, Finding]) -> set[str]:
    return {each.status for each in found.values()}


@pytest.mark.parametrize("recipe", ["cpu/arithmetic_grpo", "gpu/arithmetic_spo_fsdp"])
def test_a_sound_recipe_has_nothing_wrong(demo_dir: str, recipe: str) -> None:
    found = examined(demo_dir, "trainer.save_freq=-1", recipe=recipe)
    # The model's config.json is empty.
    assert {each.subject for each in found.values() if each.status != "ok"} <= {
        "vLLM's arguments",
        "room for checkpoints",
    }


def test_every_fault_is_found(demo_dir: str) -> None:
    found = examined(
        demo_dir,
        "actor_rollout_ref.actor.megatron.tensor_model_parallel_size=3",
        "actor_rollout_ref.actor.policy_loss.loss_mode=foo",
        "actor_rollout_ref.actor.ppo_mini_batch_size=256",
        "+actor_rollout_ref.actor.megatron.override_transformer_config.foo=1",
        "actor_rollout_ref.rollout.max_model_len=10",
        "spo.init=file",
        "spo.init_file=none.json",
    )
    failed = {each.subject for each in found.values() if each.status == "fails"}
    assert failed >= {"parallelism", "batches", "lengths", "verl's own checks", "Megatron's options", "start"}


def test_spos_own_options_do_not_hide_the_others(demo_dir: str) -> None:
    found = examined(demo_dir, "spo.epsilon=-1", "actor_rollout_ref.actor.ppo_mini_batch_size=256")
    assert found["the group spo"].detail == "spo.epsilon=-1.0: must be at least 0"
    assert found["batches"].status == "fails"


def test_what_does_not_compose_is_the_only_finding() -> None:
    found = examined("spo.epsilom=1")
    assert [(each.subject, each.status) for each in found.values()] == [("composition", "fails")]


def test_a_file_that_several_checks_miss_is_missed_once(tmp_path: Path) -> None:
    details = [each.detail for each in examine(RECIPE, [f"demo_dir={tmp_path}"]) if each.status == "fails"]
    assert len(details) == len(set(details))
    assert any(detail.endswith("train.parquet: no such file") for detail in details)


def test_a_model_on_the_hub_is_not_said_to_be_checked(demo_dir: str) -> None:
    found = examined(demo_dir, "actor_rollout_ref.model.path=some/model")
    missing = "actor_rollout_ref.model.path=some/model: the model is not on this machine"
    assert found["model folder"] == Finding("model folder", "not checked", missing)
