"""vLLM's share."""

from dataclasses import replace

import pytest

from tests.support.planned import GENERATION, QWEN3_8B
from verl_spo.planning import rollout
from verl_spo.planning.sizes import GIB


def test_the_cache_is_what_weights_and_computing_leave() -> None:
    found = rollout.of_rollout(QWEN3_8B, GENERATION, 80 * GIB)
    assert found.share == pytest.approx(56 * GIB)
    assert found.weights == QWEN3_8B.parameters
    assert found.weights + found.computing + found.cache == pytest.approx(found.share)
    # 36 layers, keys and values of 4 heads of 128 channels in bf16.
    assert found.per_token == 36 * 2 * 4 * 128 * 2
    assert found.sequences == pytest.approx(found.cache / found.per_token / 10_240)


def test_heads_fewer_than_ranks_are_repeated() -> None:
    sizes = [
        rollout.of_rollout(QWEN3_8B, replace(GENERATION, tensor=ranks), 80 * GIB).per_token for ranks in (4, 8, 16)
    ]
    assert sizes[0] == 2 * sizes[1] == 2 * sizes[2]


def test_no_room_is_no_sequence() -> None:
    assert rollout.of_rollout(QWEN3_8B, replace(GENERATION, utilization=0.1), 80 * GIB).sequences == 0
