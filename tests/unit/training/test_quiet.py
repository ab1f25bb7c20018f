"""Warnings that nobody can act on."""

import os
import subprocess
import sys

import psutil
import pytest

from verl_spo.training import quiet

# What each of TransferQueue's requests does (client.py:479, storage/simple_storage.py:1058).
REQUEST = """
import os
from transfer_queue import client
from transfer_queue.utils import common
common.psutil.cpu_count = lambda logical: {cores}
with common.limit_pytorch_auto_parallel_threads(target_num_threads=client.TQ_NUM_THREADS):
    print(common.torch.get_num_threads())
"""


def request(cores: int, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REQUEST.format(cores=cores)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_transfer_queue_takes_as_many_threads_as_before_and_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQ_NUM_THREADS", raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 2)
    before, now = request(2, {}), request(2, quiet.environment())
    assert "should not exceed" in before.stderr
    assert "should not exceed" not in now.stderr
    assert before.stdout == now.stdout == "2\n"


@pytest.mark.parametrize(("cores", "threads"), [(2, "2"), (8, "8"), (64, "8"), (None, "8")])
def test_threads_are_those_that_transfer_queue_would_take(
    cores: int | None, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TQ_NUM_THREADS", raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: cores)
    assert quiet.environment() == {"TQ_NUM_THREADS": threads}


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQ_NUM_THREADS", "3")
    quiet.activate()
    assert os.environ["TQ_NUM_THREADS"] == "3"
