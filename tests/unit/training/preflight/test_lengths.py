"""The longest sequence must fit everywhere that it goes."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training.architecture import Architecture
from verl_spo.training.preflight import lengths

RECIPE = "qwen3_8b/spo_megatron"
BUDGET = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
LOG_PROBS = "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu"
CONTEXT = "actor_rollout_ref.actor.megatron.context_parallel_size"
LIMIT = "actor_rollout_ref.rollout.max_model_len"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.max_response_length=9000"], f"{LIMIT}=10240: a prompt and its response take up to"),
        ([f"{BUDGET}=8192"], f"{BUDGET}=8192: a micro-batch, on 1 GPU, must hold one of data.max_prompt_length"),
        ([f"{BUDGET}=4096", f"{CONTEXT}=2"], f"{BUDGET}=4096: a micro-batch, on 2 GPUs, must hold one of"),
        ([f"{LOG_PROBS}=8192"], f"{LOG_PROBS}=8192: a micro-batch"),
        (
            ["actor_rollout_ref.actor.use_kl_loss=True", "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=100"],
            "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=100",
        ),
    ],
)
def test_what_does_not_hold_the_longest_sequence_is_refused(
    demo_dir: Path, overrides: list[str], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        lengths.check(configure(demo_dir, *overrides, recipe=RECIPE))
    assert expected in str(caught.value)


def test_ranks_that_share_a_sequence_hold_a_part_each(demo_dir: Path) -> None:
    lengths.check(configure(demo_dir, f"{BUDGET}=5120", f"{CONTEXT}=2", recipe=RECIPE))


@pytest.mark.parametrize(
    ("overrides", "positions", "expected"),
    [
        ([f"{LIMIT}=20000"], 16384, f"{LIMIT}=20000: the model was built for 16384 tokens"),
        ([f"{LIMIT}=null"], 8192, "makes 10240 tokens, and the model was built for 8192"),
    ],
)
def test_more_than_the_models_positions_is_refused(
    demo_dir: Path, overrides: list[str], positions: int, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        lengths.check_model(configure(demo_dir, *overrides, recipe=RECIPE), Architecture(positions=positions))
    assert expected in str(caught.value)
