"""What `kl` cannot re-score is refused before the start."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.configured import configure, row
from verl_spo.demo.tokenizer import build_tokenizer
from verl_spo.errors import ConfigError
from verl_spo.training import preflight


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["actor_rollout_ref.rollout.enable_rollout_routing_replay=True"],
            "actor_rollout_ref.rollout.enable_rollout_routing_replay=True: spo.retention=kl re-scores responses "
            "without the routes of their tokens; set False, or spo.retention=event or drift",
        ),
        (
            ["actor_rollout_ref.actor.megatron.router_replay.mode=R3"],
            "actor_rollout_ref.actor.megatron.router_replay.mode=R3: spo.retention=kl",
        ),
    ],
)
def test_kl_refuses_router_replay(demo_dir: Path, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight.check(configure(demo_dir, *overrides, recipe="gpu/arithmetic_spo_megatron"))
    assert expected in str(caught.value)


def test_router_replay_is_only_kls_trouble(demo_dir: Path) -> None:
    preflight.check(
        configure(demo_dir, "actor_rollout_ref.rollout.enable_rollout_routing_replay=True", "spo.retention=event")
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [("images", [{"bytes": b"\x89PNG"}]), ("videos", ["clip.mp4"]), ("audios", [b"RIFF"])],
)
def test_kl_refuses_rows_of_more_than_text(demo_dir: Path, column: str, value: list) -> None:
    config, file = configure(demo_dir), demo_dir / "data" / "train.parquet"
    pq.write_table(pa.Table.from_pylist([{**row(), column: []}] * 100 + [{**row(), column: value}]), file)
    with pytest.raises(ConfigError) as caught:
        preflight.check(config)
    assert str(caught.value) == (
        f"data.train_files={file}: has rows with {column} (data.{column[:-1]}_key), but spo.retention=kl re-scores "
        "text only; set spo.retention=event or drift, which re-score nothing"
    )
    config.spo.retention = "drift"
    preflight.check(config)


@pytest.mark.parametrize("empty", [None, []])
def test_columns_for_media_may_be_empty(demo_dir: Path, empty: list | None) -> None:
    pq.write_table(pa.Table.from_pylist([{**row(), "images": empty}]), demo_dir / "data" / "train.parquet")
    preflight.check(configure(demo_dir))


@pytest.mark.slow
def test_kl_refuses_a_model_with_a_processor(demo_dir: Path) -> None:
    from transformers import MllamaConfig, MllamaProcessor
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

    folder = demo_dir / "model"
    MllamaProcessor(MllamaImageProcessorPil(), build_tokenizer()).save_pretrained(folder)
    MllamaConfig().save_pretrained(folder)
    # Of eight billion weights, for which the recipe's bucket on a CPU would be too small.
    config = configure(demo_dir, "trainer.device=cuda")
    with pytest.raises(ConfigError) as caught:
        preflight.check(config)
    assert str(caught.value).startswith(f"actor_rollout_ref.model.path={folder}: a model with a MllamaProcessor, but ")
    assert "set spo.retention=event or drift" in str(caught.value)
    config.spo.retention = "event"
    preflight.check(config)
