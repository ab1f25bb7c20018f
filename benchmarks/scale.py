"""What SPO takes for large pools and batches: memory, time of a step, checkpoints; without a model and without a store.

    python -m benchmarks.scale [--pools 10000 ...] [--batches 1024 ...] [--tokens 1024 ...]

*Memory*: what the process grows by when it makes SPO for a pool, resident, with a step of the largest batch.
*Step*: `dispatch`, `complete` and `publish`, with the drawing of made-up rewards, in milliseconds, medians of 20 steps
after 3; none where a batch is not smaller than the pool. *Checkpoint*: size, and seconds to write
and to read it, from and into the page cache. *Previous responses*: what `kl` keeps of responses of so many tokens,
behind prompts of 256, and the same in a checkpoint.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from benchmarks.throughput.report import table
from verl_spo import SPO, SPOConfig
from verl_spo.core.previous_responses import PreviousResponses, Response
from verl_spo.core.tracker import ValueTracker
from verl_spo.training import checkpoint
from verl_spo.training.checkpoint import Checkpoint, Identity

WARM_UP, STEPS = 3, 20
RESPONSES = 20_000
PROMPT_TOKENS = 256
MB = 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pools", type=int, nargs="*", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--batches", type=int, nargs="*", default=[1024, 4096, 16384])
    parser.add_argument("--tokens", type=int, nargs="*", default=[1024, 4096])
    given = parser.parse_args()
    steps = [f"step of {batch:,}, ms" for batch in given.batches]
    columns = ["pool", "memory, MB", *steps, "checkpoint, MB", "written, s", "read, s"]
    # A process a line: what one has freed would hide what the next one takes.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        lines = processes.map(partial(of_pool, batches=given.batches), given.pools)
        print(table(columns, list(lines)), end="\n\n")
        columns = ["tokens of a response", "memory, KB a response", "checkpoint, KB a response"]
        print(table(columns, list(processes.map(of_responses, given.tokens))))


def of_pool(pool: int, batches: Sequence[int]) -> list[str]:
    """A line of the first table."""
    rng = np.random.default_rng(0)
    before = resident()
    spo = SPO(SPOConfig(retention="drift"), pool_size=pool, batch_size=max(batches))
    spo.start_from(ValueTracker.from_value(pool, rng.random(pool), rng.uniform(1, 8, pool)))
    steps = [f"{milliseconds(partial(one_step, spo, batch, rng)):.1f}" if batch < pool else "" for batch in batches]
    memory = (resident() - before) / MB
    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoint(Identity("0" * 32, "scale/run", "0" * 32), 1, spo.state_dict())
        written = seconds(lambda: checkpoint.save(Path(folder), kept))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / MB
        read = seconds(lambda: checkpoint.load(Path(folder), "scale/run"))
    return [f"{pool:,}", f"{memory:,.0f}", *steps, f"{size:,.1f}", f"{written:.2f}", f"{read:.2f}"]


def one_step(spo: SPO, batch: int, rng: np.random.Generator) -> None:
    """A step as SPO sees it; the trajectories come back in another order."""
    uids = spo.dispatch(batch).uids
    rewards, lengths = (rng.random(batch) < 0.5).astype(np.float64), rng.integers(1, 8192, batch)
    spo.complete([uids[place] for place in rng.permutation(batch)], rewards, lengths)
    spo.publish(0.01)


def of_responses(tokens: int) -> list[str]:
    """A line of the second table."""
    before = resident()
    previous = PreviousResponses(RESPONSES * (PROMPT_TOKENS + tokens))
    for slot in range(RESPONSES):
        prompt, response = np.full(PROMPT_TOKENS, slot, np.int32), np.full(tokens, slot, np.int32)
        mask, log_probs = np.ones(tokens, np.bool_), np.full(tokens, -0.5, np.float32)
        previous.put(slot, Response(prompt, response, mask, log_probs))
    memory = (resident() - before) / RESPONSES
    state = sum(array.nbytes for array in previous.state_dict().values()) / RESPONSES
    return [f"{tokens:,}", f"{memory / 1e3:.1f}", f"{state / 1e3:.1f}"]


def milliseconds(work: Callable[[], None]) -> float:
    """Of the median of many times."""
    return 1e3 * float(np.median([seconds(work) for _ in range(WARM_UP + STEPS)][WARM_UP:]))


def seconds(work: Callable[[], object]) -> float:
    """That something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def resident() -> int:
    """Bytes of memory that the process has, what nobody refers to left out."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
