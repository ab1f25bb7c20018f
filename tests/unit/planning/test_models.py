"""What of models a plan can be made of."""

import json
from pathlib import Path

import pytest

from tests.support.planned import tiny
from verl_spo.errors import ConfigError
from verl_spo.planning import models


def test_a_local_folder_is_read(tmp_path: Path) -> None:
    assert tiny(tmp_path).feed_forward == 768


def test_another_name_of_the_hub_wants_a_folder() -> None:
    with pytest.raises(ConfigError, match=r"'Qwen/Qwen3-14B'.*Qwen/Qwen3-0.6B, Qwen/Qwen3-8B.*give a local folder"):
        models.find("Qwen/Qwen3-14B")


@pytest.mark.parametrize(
    ("change", "named"), [({"num_experts": 128}, "has num_experts"), ({"hidden_size": None}, "has no hidden_size")]
)
def test_what_is_no_dense_decoder_is_refused(tmp_path: Path, change: dict[str, int | None], named: str) -> None:
    tiny(tmp_path)
    file = tmp_path / "config.json"
    config = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    with pytest.raises(ConfigError, match=named):
        models.find(str(tmp_path))
