"""The model is looked at before it is loaded."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import DataError
from verl_spo.training import preflight
from verl_spo.training.preflight import model


def test_a_model_folder_without_a_model_is_refused(demo_dir: Path) -> None:
    shutil.rmtree(demo_dir / "model")
    with pytest.raises(DataError, match=r"actor_rollout_ref.model.path=.*: no model folder"):
        preflight.check(configure(demo_dir))


def test_of_a_name_only_what_was_downloaded_before_is_looked_at(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(demo_dir))
    config = configure(demo_dir, "actor_rollout_ref.model.path=some/model")
    assert model.check(config) is None
    snapshot = demo_dir / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"vocab_size": 8}))
    (demo_dir / "models--some--model" / "refs").mkdir()
    (demo_dir / "models--some--model" / "refs" / "main").write_text("abc")
    assert model.check(config) == snapshot


@pytest.mark.parametrize("address", ["hdfs://cluster/models/some", "s3://bucket/model"])
def test_an_address_is_left_to_verl(demo_dir: Path, address: str) -> None:
    assert model.check(configure(demo_dir, f"actor_rollout_ref.model.path={address}")) is None
