"""verl's Megatron engine on the CPU goes on from a checkpoint as if it had never stopped."""

import socket
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from tests.support import megatron_engine
from tests.support.models import strong_model

pytestmark = pytest.mark.slow

RANKS = 2


def weights_after(folder: Path, batches: tuple[int, ...], load: bool) -> dict[str, torch.Tensor]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    multiprocessing.spawn(megatron_engine.train, args=(folder, RANKS, batches, load), nprocs=RANKS)
    weights: dict[str, torch.Tensor] = torch.load(folder / f"weights-{batches[-1]}.pt")
    return weights


def test_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    strong_model(tmp_path)
    whole = weights_after(tmp_path, (1, 2, 3, 4), load=False)
    first = weights_after(tmp_path, (1, 2), load=False)
    resumed = weights_after(tmp_path, (3, 4), load=True)
    assert set(resumed) == set(whole)
    assert any((first[name] != whole[name]).any() for name in whole)
    for name, weight in whole.items():
        assert torch.equal(resumed[name], weight), name
