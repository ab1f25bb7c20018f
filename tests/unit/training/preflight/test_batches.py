"""A mini-batch above the batch, which verl accepts under dynamic batching, is refused; so is what cannot be divided."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training.preflight import batches

MINI = "actor_rollout_ref.actor.ppo_mini_batch_size"
MICRO = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"
LOG_PROB = "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu"
STATIC = "actor_rollout_ref.actor.use_dynamic_bsz=False"


@pytest.mark.parametrize(
    ("recipe", "overrides", "expected"),
    [
        ("qwen3_8b/spo_megatron", [f"{MINI}=2048"], f"{MINI}=2048: does not divide data.train_batch_size=1024"),
        ("qwen3_8b/spo_megatron", [f"{MINI}=100"], f"{MINI}=100: does not divide data.train_batch_size=1024"),
        (
            "qwen3_8b/spo_megatron_4nodes",
            [f"{MINI}=8"],
            f"{MINI}=8: its 8 responses cannot be divided among 16 data-parallel ranks; set a multiple",
        ),
        ("qwen3_8b/spo_megatron", [STATIC, f"{MICRO}=3"], f"{MICRO}=3: does not divide the 32 responses"),
        (
            "qwen3_8b/spo_megatron",
            [STATIC, f"{MICRO}=4", f"{LOG_PROB}=48"],
            f"{LOG_PROB}=48: does not divide the 256 responses of a batch on a rank; set a divisor",
        ),
    ],
)
def test_what_does_not_divide_is_refused(demo_dir: Path, recipe: str, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        batches.check(configure(demo_dir, *overrides, recipe=recipe))
    assert expected in str(caught.value)


def test_responses_of_a_group_count(demo_dir: Path) -> None:
    # 2 prompts x 8 responses, on 16 ranks.
    sixteen = ("trainer.nnodes=4", f"{MINI}=2")
    batches.check(configure(demo_dir, *sixteen, recipe="qwen3_8b/grpo_megatron"))


def test_a_micro_batch_that_divides_passes(demo_dir: Path) -> None:
    # Log-probs are of the whole batch, which more divides.
    batches.check(configure(demo_dir, STATIC, f"{MICRO}=4", f"{LOG_PROB}=64", recipe="qwen3_8b/spo_megatron"))
