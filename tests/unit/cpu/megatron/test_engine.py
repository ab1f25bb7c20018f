"""verl's Megatron engine on the CPU goes on from a checkpoint as if it had never stopped."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import multiprocessing

from tests.support import megatron_engine
from tests.support.models import strong_model
from verl_spo.cpu.megatron import engine

pytestmark = pytest.mark.slow

RANKS = 2


def train(folder: Path, batches: tuple[int, ...], load: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    multiprocessing.spawn(megatron_engine.train, args=(folder, RANKS, batches, load), nprocs=RANKS)


def weights_after(folder: Path, batch: int) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(folder / f"weights-{batch}.pt")
    return weights


def test_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    strong_model(tmp_path)
    train(tmp_path, (1, 2, 3, 4), load=False)
    first, whole = weights_after(tmp_path, 2), weights_after(tmp_path, 4)
    (tmp_path / "weights-4.pt").unlink()
    train(tmp_path, (3, 4), load=True)
    resumed = weights_after(tmp_path, 4)
    assert set(resumed) == set(whole)
    assert any((first[name] != whole[name]).any() for name in whole)
    for name, weight in whole.items():
        assert torch.equal(resumed[name], weight), name


@pytest.mark.parametrize(("contents", "steps"), [(["model", "optimizer"], 3.0), (["model"], None)])
def test_who_loads_the_weights_alone_has_no_steps_to_count(contents: list[str], steps: float | None) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter])
    loaded = []

    def load(self: Any, path: str) -> None:
        loaded.append(path)
        if "optimizer" in contents:
            optimizer.param_groups[0]["step"] = 3

    checkpoints = SimpleNamespace(load_contents=contents)
    worker = SimpleNamespace(checkpoint_config=checkpoints, optimizer=SimpleNamespace(optimizer=optimizer))
    engine._resumed_exactly(load)(worker, "a checkpoint")
    assert loaded == ["a checkpoint"]
    assert optimizer.state.get(parameter, {}).get("step") == steps
