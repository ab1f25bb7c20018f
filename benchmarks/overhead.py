"""What SPO itself costs a training step, for pools of 10^4 to 10^6 prompts.

    python -m benchmarks.overhead [--json] [--pools 10000 ...] [--batches 1024 ...] [--steps 30]

Timed on what the trainer really calls, with the store's writer thread behind it and an SQLite file under it: `dispatch`
(draw, baselines), `complete` (rewards, advantages, tracker, histogram) and `hand_over` (record of the step to the
store). Their sum is what a step waits for. Draw, baseline, tracker and histogram are also timed alone. Beside them, a
log-prob pass and an update of the demo's tiny model on as many rows: any model worth training is far slower.
Times are medians over steps, in milliseconds; `total_p95_ms` is the 95th percentile of the sum, and `total_cpu_ms` the
sum in the trainer thread's own processor time, which other programs on the machine do not lengthen.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.learning.lab.policy import Policy, Samples, Tokens
from benchmarks.learning.lab.update import by_chance, update
from verl_spo import SPO, SPOConfig
from verl_spo.config import StoreConfig
from verl_spo.core.difficulty import DifficultyCounts
from verl_spo.core.estimates import Estimates
from verl_spo.core.tracker import ValueTracker
from verl_spo.store import open_writer
from verl_spo.store.records import PromptRecord, RunInfo
from verl_spo.training.recorder import Recorder, tracker_rows

Row = dict[str, float]
STAGES = ("dispatch", "complete", "hand_over")
PARTS = ("draw", "baseline", "tracker", "histogram")
WARM_UP = 3
SOURCES = 50
PROMPT_TOKENS, RESPONSE_TOKENS = 20, 8


class Stopwatch:
    """Milliseconds by name: elapsed, and of the thread's processor time."""

    def __init__(self) -> None:
        self.laps: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Note how long the block took."""
        started, worked = time.perf_counter(), time.thread_time()
        yield
        self.laps[name].append(1e3 * (time.perf_counter() - started))
        self.cpu[name].append(1e3 * (time.thread_time() - worked))

    def median(self, name: str) -> float:
        """Of the laps after the warm-up."""
        return round(float(np.median(self.laps[name][WARM_UP:])), 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    parser.add_argument("--pools", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    parser.add_argument("--batches", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    models = {batch: model_step(batch) for batch in given.batches}
    rows = [{**measure(pool, batch, given.steps), **models[batch]} for pool in given.pools for batch in given.batches]
    print(json.dumps(rows, indent=1) if given.json else table(rows))


def measure(pool: int, batch: int, steps: int) -> Row:
    """SPO's own work in a step."""
    watch, rng = Stopwatch(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        config = SPOConfig(store=StoreConfig(url=f"sqlite:///{folder}/overhead.db"))
        tracker = ValueTracker.from_value(pool, rng.random(pool), rng.uniform(1, 8, pool))
        spo = SPO(config, pool_size=pool, batch_size=batch, tracker=tracker)
        with open_recorder(config, spo) as recorder:
            for step in range(1, steps + WARM_UP + 1):
                one_step(watch, spo, recorder, batch, step, rng)
                # A real step leaves the writer seconds; here it may finish before the next one.
                recorder.secure()
                the_parts(watch, spo, batch, step, rng)
    totals, worked = (np.sum([times[stage] for stage in STAGES], axis=0)[WARM_UP:] for times in (watch.laps, watch.cpu))
    return {
        "pool": pool,
        "batch": batch,
        **{f"{name}_ms": watch.median(name) for name in (*PARTS, *STAGES)},
        "total_ms": round(float(np.median(totals)), 3),
        "total_p95_ms": round(float(np.percentile(totals, 95)), 3),
        "total_cpu_ms": round(float(np.median(worked)), 3),
    }


def one_step(watch: Stopwatch, spo: SPO, recorder: Recorder, batch: int, step: int, rng: np.random.Generator) -> None:
    """A training step as SPO sees it; the trajectories come back in another order."""
    with watch.lap("dispatch"):
        dispatch = spo.dispatch(batch)
    uids = [dispatch.uids[i] for i in rng.permutation(batch)]
    rewards, lengths = (rng.random(batch) < 0.5).astype(np.float64), rng.integers(1, 8192, batch)
    change = rng.exponential(0.05, batch)
    with watch.lap("complete"):
        completion = spo.complete(uids, rewards, lengths, policy_change=change)
    spo.publish(0.01)
    with watch.lap("hand_over"):
        recorder.submit(step, spo, completion, failed=0, metrics={})


def the_parts(watch: Stopwatch, spo: SPO, batch: int, step: int, rng: np.random.Generator) -> None:
    """The mathematics alone, on the same state."""
    tracker, rewards, versions = spo.tracker, rng.random(batch), np.full(batch, step)
    with watch.lap("draw"):
        slots = spo.sampler.draw(batch, tracker, spo.retention.clock)
    with watch.lap("baseline"):
        tracker.value(slots)
    with watch.lap("tracker"):
        spo.retention.observe(tracker, slots, rewards, versions, np.zeros(batch), step)
    with watch.lap("histogram"):
        spo.histogram.update(slots, tracker.value(slots))


def open_recorder(config: SPOConfig, spo: SPO) -> Recorder:
    """A run in a new database."""
    info = RunInfo("overhead", config.to_dict(), {}, None, "here", bytes(16), "0" * 32)
    prompts = (PromptRecord(slot.to_bytes(16, "big"), "overhead", _chat(slot), "0") for slot in range(spo.tracker.size))
    rows = tracker_rows(spo, np.arange(spo.tracker.size))
    writer = open_writer(config.store, info, prompts, rows, None, 0.0)
    sources = np.arange(spo.tracker.size) % SOURCES
    names = [f"source {number}" for number in range(SOURCES)]
    difficulty = DifficultyCounts(spo.tracker.value(), spo.tracker.visits, sources, names)
    return Recorder(writer, info.uid, config, Estimates.none(spo.tracker.size), difficulty)


def _chat(slot: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{slot}-{slot}="}]


def model_step(batch: int) -> Row:
    """One log-prob pass and one update of a model like the demo's, on `batch` rows."""
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=100, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32,
    )  # fmt: skip
    policy, watch = Policy(Qwen3ForCausalLM(shape), end_token=0, response_width=RESPONSE_TOKENS), Stopwatch()
    ids = torch.randint(1, 100, (batch, PROMPT_TOKENS + RESPONSE_TOKENS))
    tokens = Tokens(ids, torch.ones_like(ids), PROMPT_TOKENS)
    optimizer, generator = torch.optim.AdamW(policy.model.parameters(), lr=1e-6), torch.Generator()
    advantages = np.random.default_rng(0).normal(size=batch)
    for _ in range(WARM_UP + 1):
        with watch.lap("log_prob"):
            log_probs = policy.rescore(tokens)
        with watch.lap("update"):
            update(policy, optimizer, Samples(tokens, log_probs), advantages, by_chance(batch, generator))
    return {f"{name}_ms": watch.median(name) for name in ("log_prob", "update")}


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [list(rows[0]), ["---:"] * len(rows[0]), *([f"{value:g}" for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
