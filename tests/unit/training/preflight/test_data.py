"""Data that cannot be trained on is found before any worker starts."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError, DataError
from verl_spo.training import preflight


def test_a_missing_file_is_named(demo_dir: Path) -> None:
    (demo_dir / "data" / "validation.parquet").unlink()
    with pytest.raises(DataError, match=r"data.val_files=.*validation.parquet: no such file"):
        preflight.check(configure(demo_dir))


@pytest.mark.parametrize(
    ("mode", "prompts", "expected"),
    [
        ("sync", 64, "without replacement, which takes 128 distinct prompts, but the pool has only 64; set less, or"),
        ("colocate_async", 255, "and trainer.v1.colocate_async.num_warmup_batches=1 more run ahead, which takes 256"),
    ],
)
def test_a_pool_that_is_too_small_is_refused(demo_dir: Path, mode: str, prompts: int, expected: str) -> None:
    config = configure(demo_dir, f"trainer.v1.trainer_mode=spo_{mode}")
    with pytest.raises(ConfigError, match=r"data.train_batch_size=128: ") as caught:
        preflight.check_pool_size(prompts, config)
    assert expected in str(caught.value)
    preflight.check_pool_size(256, config)


def test_a_part_of_a_batch_may_run_ahead(demo_dir: Path) -> None:
    options = ("trainer.v1.trainer_mode=spo_colocate_async", "trainer.v1.colocate_async.num_warmup_batches=0.29")
    config = configure(demo_dir, *options, "data.train_batch_size=100")
    preflight.check_pool_size(128, config)
    with pytest.raises(ConfigError, match="which takes 128 distinct prompts"):
        preflight.check_pool_size(127, config)
