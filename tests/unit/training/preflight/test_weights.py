"""A weight that no sync could carry is found before the start."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training import preflight
from verl_spo.training.preflight import weights

SMALL = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "dtype": "bfloat16"}
BUCKET = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes"


def describe(demo_dir: Path, model: dict) -> None:
    (demo_dir / "model" / "config.json").write_text(json.dumps(model))


@pytest.mark.parametrize("recipe", ["cpu/arithmetic_spo", "cpu/arithmetic_grpo"])
def test_a_weight_larger_than_the_bucket_is_refused(demo_dir: Path, recipe: str) -> None:
    describe(demo_dir, SMALL)
    check = preflight.check if recipe.endswith("spo") else preflight.check_without_spo
    with pytest.raises(ConfigError) as caught:
        check(configure(demo_dir, f"{BUCKET}=107", recipe=recipe))
    assert str(caught.value) == (
        f"{BUCKET}=107: the model's largest weight, 49152 x 576 numbers of 4 bytes, takes 108 MB and must fit; set at "
        "least 108"
    )
    check(configure(demo_dir, f"{BUCKET}=108", recipe=recipe))


@pytest.mark.parametrize(
    ("vocab_size", "hidden_size"), [(49152, 576), (151936, 1024), (262144, 640), (128256, 2048)], ids=str
)
def test_the_recipes_take_models_of_up_to_a_billion_weights(demo_dir: Path, vocab_size: int, hidden_size: int) -> None:
    describe(demo_dir, {"vocab_size": vocab_size, "hidden_size": hidden_size})
    preflight.check(configure(demo_dir))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (SMALL, (49152, 576)),
        ({"vocab_size": 100, "hidden_size": 64, "intermediate_size": 256}, (256, 64)),
        ({"model_type": "qwen3_vl", "text_config": {"vocab_size": 1000, "hidden_size": 64}}, (1000, 64)),
        ({"vocab_size": 1000}, (0, 0)),
        ({"vocab_size": 1000, "hidden_size": 64, "intermediate_size": None}, (1000, 64)),
        ({}, (0, 0)),
    ],
)
def test_the_largest_weight_is_the_embedding_or_of_a_feed_forward_layer(model: dict, shape: tuple) -> None:
    assert weights.largest_weight(model) == shape


def test_weights_are_sent_in_the_precision_that_the_trainer_keeps(demo_dir: Path) -> None:
    describe(demo_dir, SMALL)
    in_half = "actor_rollout_ref.actor.fsdp_config.model_dtype=bf16"
    with pytest.raises(ConfigError, match="49152 x 576 numbers of 2 bytes, takes 54 MB"):
        preflight.check(configure(demo_dir, in_half, f"{BUCKET}=53"))
    preflight.check(configure(demo_dir, in_half, f"{BUCKET}=54"))


def test_a_device_that_shares_its_memory_takes_any_weight_but_not_tensorrt(demo_dir: Path) -> None:
    describe(demo_dir, SMALL)
    preflight.check(configure(demo_dir, "trainer.device=cuda", f"{BUCKET}=16"))
    with pytest.raises(ConfigError, match="takes 108 MB"):
        preflight.check(
            configure(demo_dir, "trainer.device=cuda", f"{BUCKET}=16", "actor_rollout_ref.rollout.name=trtllm")
        )


@pytest.mark.parametrize(("stored_mb", "free_mb", "taken"), [(100, 199, 200), (600, 1023, 1024), (0, 107, 108)])
def test_too_little_shared_memory_is_refused(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, stored_mb: int, free_mb: int, taken: int
) -> None:
    describe(demo_dir, SMALL)
    with (demo_dir / "model" / "model.safetensors").open("wb") as file:
        file.truncate(stored_mb * weights.MB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free_mb * weights.MB))
    with pytest.raises(ConfigError, match=rf"takes {taken} MB of /dev/shm, where {free_mb} are free.*at least 108"):
        preflight.check(configure(demo_dir))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=taken * weights.MB))
    preflight.check(configure(demo_dir))
