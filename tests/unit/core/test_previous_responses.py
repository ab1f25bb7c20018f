"""The previous responses that `kl` re-scores."""

import numpy as np
import pytest

from verl_spo.core.previous_responses import PreviousResponses, Response


def response(prompt: int, generated: int, log_prob: float = -1.0) -> Response:
    return Response(
        prompt=np.arange(prompt, dtype=np.int32),
        response=np.arange(generated, dtype=np.int32),
        mask=np.ones(generated, dtype=bool),
        log_probs=np.full(generated, log_prob, dtype=np.float32),
    )


def test_change_is_the_mean_over_generated_tokens_only() -> None:
    mask = np.array([True, False, True])
    seen = Response(np.zeros(1, np.int32), np.zeros(3, np.int32), mask, np.array([-1.0, -9.0, -2.0], np.float32))
    assert seen.change(np.array([-1.5, 0.0, -1.0], np.float32)) == pytest.approx((0.5 + 1.0) / 2)


def test_a_response_without_generated_tokens_has_no_change() -> None:
    tool_only = Response(np.zeros(1, np.int32), np.zeros(2, np.int32), np.zeros(2, bool), np.zeros(2, np.float32))
    assert np.isnan(tool_only.change(np.zeros(2, np.float32)))


def test_the_longest_unused_make_room() -> None:
    memory = PreviousResponses(limit=10)
    for slot in (1, 2):
        memory.put(slot, response(2, 3))
    memory.put(1, response(2, 2))
    memory.put(3, response(1, 2))
    assert memory.get(2) is None
    assert len(memory) == 2
    assert memory.tokens == 7


def test_a_response_longer_than_the_limit_is_not_kept() -> None:
    memory = PreviousResponses(limit=4)
    memory.put(1, response(3, 2))
    assert (len(memory), memory.tokens) == (0, 0)


def test_state_round_trip_keeps_order_and_contents() -> None:
    memory = PreviousResponses(limit=100)
    for slot in (7, 3, 5):
        memory.put(slot, response(slot, slot + 1, log_prob=-slot))
    restored = PreviousResponses(limit=100)
    restored.load_state_dict(memory.state_dict())
    assert {k: v.tolist() for k, v in restored.state_dict().items()} == {
        k: v.tolist() for k, v in memory.state_dict().items()
    }
    assert restored.tokens == memory.tokens
    found = restored.get(5)
    assert found is not None
    assert found.log_probs.tolist() == [-5.0] * 6


def test_an_empty_memory_round_trips() -> None:
    restored = PreviousResponses(limit=1)
    restored.load_state_dict(PreviousResponses(limit=1).state_dict())
    assert len(restored) == 0
