"""What reading costs: a pool's rows at the start, a batch's outcomes in a step, TransferQueue's keys while it waits.

    python -m benchmarks.reading [--json] [--rows 200000] [--copies 1 100] [--trajectories 1024] [--tokens 8192]

Each beside the plain way to do it. *Pool*: rows like those of DAPO-Math-17k, each in so many copies, asked for one by
one and digested, beside `PromptPool`. *Outcomes*: rewards and masks of trajectories of up to `--tokens` tokens, read
from a real TransferQueue and padded, beside `outcomes_of`, which takes what verl hands to the estimator. *Keys*: one
look for finished trajectories among so many, and the share of the time that looks take at two `spo.poll_interval_s`.

Medians of `--repeats`, in milliseconds; `..._cpu_ms` is the processor time of the thread, which other programs on the
machine do not lengthen.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
import transfer_queue as tq
from datasets import Dataset
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from benchmarks.overhead import Stopwatch, table
from verl_spo.training.prompts.pool import PromptPool
from verl_spo.training.trajectories import outcomes_of

Row = dict[str, float]
INTERVALS = (0.2, 2.0)
_QUESTION = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
)
_PUT = 128


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reading", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--copies", type=int, nargs="*", default=[1, 100])
    parser.add_argument("--trajectories", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    pools = [measure_pool(given.rows, copies) for copies in given.copies]
    with queue():
        batches = [measure_batch(number, given.tokens, given.repeats) for number in given.trajectories]
    print(json.dumps({"pools": pools, "batches": batches}, indent=1) if given.json else both(pools, batches))


def both(pools: Sequence[Row], batches: Sequence[Row]) -> str:
    """Markdown."""
    return f"{table(pools)}\n\n{table(batches)}"


def measure_pool(rows: int, copies: int) -> Row:
    """The start's reading of a data set; once, since it is long."""
    distinct, watch = max(1, rows // copies), Stopwatch()
    order = np.random.default_rng(0).permutation(np.arange(rows) % distinct)
    source = Dataset(pa.Table.from_pylist([_question(number) for number in range(distinct)]).take(order))
    with watch.lap("plain"):
        plain = one_by_one(source)
    with watch.lap("pool"):
        pool = PromptPool(source)
    if pool.digests != plain:
        raise RuntimeError("the two ways found different prompts")
    return {"rows": rows, "prompts": distinct, **_compared(watch, "plain", "pool")}


def one_by_one(source: Dataset) -> list[bytes]:
    """Digests of the distinct prompts, the plain way."""
    found: dict[bytes, None] = {}
    for row in source:
        identity = [row["data_source"], row["prompt"], row["reward_model"]["ground_truth"]]
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        found.setdefault(blake2b(text.encode(), digest_size=16).digest())
    return list(found)


def measure_batch(trajectories: int, tokens: int, repeats: int) -> Row:
    """A batch's outcomes, and a look at its keys."""
    batch, watch = put(trajectories, tokens), Stopwatch()
    for _ in range(repeats):
        with watch.lap("plain"):
            mask, rewards = (_padded(batch, field) for field in ("response_mask", "rm_scores"))
            outcomes_of(batch, rewards, mask, None, False)
        with watch.lap("outcomes"):
            outcomes = outcomes_of(batch, rewards, mask, None, False)
        with watch.lap("look"):
            tq.kv_list()
    tq.kv_clear(keys=[*batch.keys, *outcomes.uids], partition_id="train")
    look = float(np.median(watch.laps["look"]))
    shares = {f"share_at_{every:g}s": round(look / (look + 1e3 * every), 4) for every in INTERVALS}
    return {"trajectories": trajectories, **_compared(watch, "plain", "outcomes"), "look_ms": round(look, 3), **shares}


@contextmanager
def queue() -> Iterator[None]:
    """A TransferQueue as verl starts it."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
    try:
        yield
    finally:
        tq.close()
        ray.shutdown()


def put(trajectories: int, tokens: int) -> KVBatchMeta:
    """A finished batch as verl's agent loops leave it (verl/trainer/ppo/v1/agent_loop_tq.py:190)."""
    lengths = np.random.default_rng(0).integers(tokens // 16 + 1, tokens, trajectories, endpoint=True).tolist()
    uids = [f"{number:032x}" for number in range(trajectories)]
    keys, tags = [f"{uid}_0_0" for uid in uids], [_tag(length) for length in lengths]
    for start in range(0, trajectories, _PUT):
        part = slice(start, start + _PUT)
        fields = list_of_dict_to_tensordict([_fields(length) for length in lengths[part]])
        tq.kv_batch_put(keys=keys[part], partition_id="train", fields=fields, tags=tags[part])
    asked = [{"is_prompt": True, "status": "finished", "global_steps": 1}] * trajectories
    tq.kv_batch_put(keys=uids, partition_id="train", tags=asked)
    return KVBatchMeta(partition_id="train", keys=keys, tags=tags)


def _tag(length: int) -> dict[str, Any]:
    steps = dict.fromkeys(("global_steps", "min_global_steps", "max_global_steps"), 1)
    return {"status": "success", "prompt_len": 100, "response_len": length, "seq_len": length + 100, **steps}


def _fields(length: int) -> dict[str, torch.Tensor]:
    rewards = torch.zeros(length)
    rewards[-1] = 1.0
    return {"response_mask": torch.ones(length, dtype=torch.int64), "rm_scores": rewards}


def _padded(batch: KVBatchMeta, field: str) -> torch.Tensor:
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=[field])
    padded: torch.Tensor = data[field].to_padded_tensor(0)
    return padded


def _question(number: int) -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"role": "user", "content": f"{_QUESTION}{number}. {'What is it? ' * 40}"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": str(number), "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"{number:036d}"},
    }


def _compared(watch: Stopwatch, plain: str, ours: str) -> Row:
    kinds = (("ms", watch.laps), ("cpu_ms", watch.cpu))
    medians = {f"{name}_{kind}": float(np.median(laps[name])) for name in (plain, ours) for kind, laps in kinds}
    ratio = medians[f"{plain}_ms"] / medians[f"{ours}_ms"]
    return {**{name: round(median, 3) for name, median in medians.items()}, "ratio": round(ratio, 1)}


if __name__ == "__main__":
    main()
