"""What verl's libraries say again and again and nobody can act on, so that errors are found in the output."""

import os

import psutil

_WANTED_THREADS = 8


def environment() -> dict[str, str]:
    """Variables that keep TransferQueue from warning of its own default with every request.

    It wants 8 threads and says each time that it takes fewer where there are fewer cores
    (transfer_queue/utils/common.py:103); told to take as many as there are, it does the same in silence.
    """
    cores = psutil.cpu_count(logical=False) or _WANTED_THREADS
    return {"TQ_NUM_THREADS": os.environ.get("TQ_NUM_THREADS", str(min(cores, _WANTED_THREADS)))}


def activate() -> None:
    """Set them here, before Ray starts processes that inherit them."""
    os.environ.update(environment())
