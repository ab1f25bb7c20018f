"""Where the seed of a sampled response comes from.

In training it is the request: SPO's request identities are reproducible (core/spo.py), so a run that is resumed
continues as one that never stopped would have. verl's own `full_determinism` gives every request the same seed, and so
every visit to a prompt the same noise. In validation, where verl makes up a `uid` each time, it is the prompt: its
noise stays, and two validations differ by the policy alone.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

FIELD = "spo_seeded_by"


def request_seed(request: Mapping[str, Any]) -> int:
    """A seed for vLLM's sampler, in [0, 2 ** 31), from what verl passes to an agent loop."""
    key = f"{request.get(FIELD, request['uid'])}/{request['session_id']}"
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) >> 1


def seed_by_prompt(loader: DataLoader[Any]) -> None:
    """Let the prompts of a data loader determine the seeds of their responses."""
    loader.collate_fn = partial(_with_field, loader.collate_fn)


def _with_field(collate: Callable[[list[Any]], dict[str, Any]], rows: list[Any]) -> dict[str, Any]:
    """A batch with the field; rows of the same prompt, as a benchmark repeats them, get different values."""
    batch, seen = collate(rows), Counter[str]()
    values = []
    for prompt in batch["raw_prompt"]:
        text = json.dumps(prompt, default=_plain)
        values.append(f"{text}/{seen[text]}")
        seen[text] += 1
    return {**batch, FIELD: np.array(values, dtype=object)}


def _plain(value: Any) -> Any:
    """What JSON has no form for: arrays by their content, media by their type alone."""
    return value.tolist() if hasattr(value, "tolist") else type(value).__name__
