"""vLLM refuses its own arguments, on this machine."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.launching import recipes
from verl_spo.training.preflight import vllm_arguments

pytestmark = pytest.mark.slow

RECIPE = "qwen3_8b/spo_megatron"
ROLLOUT = "actor_rollout_ref.rollout"


@pytest.mark.parametrize("recipe", [name for name in recipes.names() if name.startswith("qwen3_")])
def test_vllm_takes_every_recipe(demo_dir: Path, recipe: str) -> None:
    assert vllm_arguments.check(configure(demo_dir, recipe=recipe)) is None


@pytest.mark.parametrize("longest", [4096, "null"])
def test_prompts_that_do_not_come_in_chunks_get_room_as_verl_gives_it(demo_dir: Path, longest: int | str) -> None:
    whole = (f"{ROLLOUT}.enable_chunked_prefill=False", f"{ROLLOUT}.max_num_batched_tokens=2048")
    config = configure(demo_dir, *whole, f"{ROLLOUT}.max_model_len={longest}", recipe=RECIPE)
    assert vllm_arguments.check(config) is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (f"{ROLLOUT}.max_model_len=50000", "User-specified max_model_len (50000) is greater than the derived"),
        (
            f"{ROLLOUT}.max_num_seqs=90000",
            "max_num_batched_tokens (10240) must be greater than or equal to max_num_seqs",
        ),
        (f"{ROLLOUT}.gpu_memory_utilization=1.5", "gpu_memory_utilization Input should be less than or equal to 1"),
        (f"{ROLLOUT}.engine_kwargs.vllm.foo=1", "unexpected keyword argument 'foo'"),
    ],
)
def test_what_vllm_refuses(demo_dir: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        vllm_arguments.check(configure(demo_dir, override, recipe=RECIPE))
    assert str(caught.value).startswith("actor_rollout_ref.rollout: vLLM refuses it: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("actor_rollout_ref.model.path=some/model", "its config.json is not on this machine"),
        (f"{ROLLOUT}.name=sglang", "only vLLM's arguments are checked"),
    ],
)
def test_what_cannot_be_checked_says_why(demo_dir: Path, override: str, why: str) -> None:
    assert why in str(vllm_arguments.check(configure(demo_dir, override, recipe=RECIPE)))
