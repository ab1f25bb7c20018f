"""What the hub's library is asked for, and what is said when it cannot help."""

import re

import huggingface_hub
import pytest

from verl_spo.datasets.hub import download
from verl_spo.errors import DataError


def test_a_repositorys_data_files_are_asked_for_at_a_commit(tmp_path, monkeypatch) -> None:
    asked = []

    def snapshot_download(*arguments: object, **options: object) -> str:
        asked.append((arguments, options))
        return str(tmp_path / "snapshots" / "abc123")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert download("somebody/aime", "main") == (tmp_path / "snapshots" / "abc123", "abc123")
    ((arguments, options),) = asked
    assert arguments == ("somebody/aime",)
    assert (options["repo_type"], options["revision"]) == ("dataset", "main")
    assert "*.parquet" in options["allow_patterns"]


def test_without_a_connection_the_remedy_is_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"somebody/aime at --revision v1: cannot be had from.*--from FOLDER"):
        download("somebody/aime", "v1")


def test_the_hubs_own_errors_are_told(monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise huggingface_hub.errors.OfflineModeIsEnabled("no such revision")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(DataError, match=re.escape("somebody/aime: cannot be had")):
        download("somebody/aime", None)
