"""Which responses share their noise."""

from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from verl_spo.training.seeding import request_seed, seed_by_prompt


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.array([row[name] for row in rows], dtype=object) for name in rows[0]}


def requests(loader: DataLoader, uid: str) -> list[dict[str, Any]]:
    """What an agent loop gets of each prompt, with the `uid`s of one validation."""
    return [
        {**dict(zip(batch, values, strict=True)), "uid": f"{uid}{number}", "session_id": 0}
        for batch in loader
        for number, values in enumerate(zip(*batch.values(), strict=True))
    ]


def test_each_request_of_training_has_its_own_seed() -> None:
    seeds = {request_seed({"uid": f"u{uid}", "session_id": session}) for uid in range(50) for session in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert request_seed({"uid": "u1", "session_id": 2}) == request_seed({"uid": "u1", "session_id": 2})


def test_a_prompt_keeps_its_seed_over_validations() -> None:
    rows = [{"raw_prompt": [{"role": "user", "content": f"{n}+1="}], "index": n} for n in range(8)]
    loader = DataLoader(rows, batch_size=4, collate_fn=collate)
    seed_by_prompt(loader)
    first, second = ([request_seed(request) for request in requests(loader, uid)] for uid in ("a", "b"))
    assert first == second
    assert len(set(first)) == len(rows)
    assert request_seed({**requests(loader, "a")[0], "session_id": 1}) != first[0]


def test_rows_of_one_prompt_are_sampled_apart() -> None:
    rows = [{"raw_prompt": [{"role": "user", "content": "1+1="}], "index": n} for n in range(8)]
    loader = DataLoader(rows, batch_size=8, collate_fn=collate)
    seed_by_prompt(loader)
    first, second = ([request_seed(request) for request in requests(loader, uid)] for uid in ("a", "b"))
    assert len(set(first)) == len(rows)
    assert first == second
