"""The previous response to each prompt, which `kl` retention re-scores: bounded memory, part of the checkpoint."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from verl_spo.core.policy_change import mean_change
from verl_spo.core.state import require_fields

_RAGGED = {"prompt": np.int32, "response": np.int32, "mask": np.bool_, "log_probs": np.float32}


@dataclass(frozen=True)
class Response:
    """One response as its policy saw it.

    Attributes:
        prompt: (p,) int32 token ids.
        response: (r,) int32 token ids.
        mask: (r,) bool, tokens that the model generated.
        log_probs: (r,) float32, by the policy that trained on it.
    """

    prompt: np.ndarray
    response: np.ndarray
    mask: np.ndarray
    log_probs: np.ndarray

    @property
    def tokens(self) -> int:
        """Tokens that it takes in memory."""
        return len(self.prompt) + len(self.response)

    def change(self, log_probs: np.ndarray) -> float:
        """The policy change since then, nats per token; NaN without generated tokens."""
        return float(mean_change(log_probs, self.log_probs, self.mask))


class PreviousResponses:
    """The latest response to each slot; the longest unused make room beyond `limit` tokens."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._responses: OrderedDict[int, Response] = OrderedDict()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._responses)

    def get(self, slot: int) -> Response | None:
        """The previous response to a slot, if it is still here."""
        return self._responses.get(slot)

    def put(self, slot: int, response: Response) -> None:
        """Remember a response in the place of the previous one."""
        self._forget(slot)
        self._responses[slot] = response
        self.tokens += response.tokens
        while self.tokens > self._limit:
            self._forget(next(iter(self._responses)))

    def state_dict(self) -> dict[str, np.ndarray]:
        """All responses end to end, with their lengths: arrays for a checkpoint."""
        responses = list(self._responses.values())
        state = {name: _joined([getattr(each, name) for each in responses], kind) for name, kind in _RAGGED.items()}
        state["slots"] = np.array(list(self._responses), dtype=np.int64)
        state["prompt_lengths"] = np.array([len(each.prompt) for each in responses], dtype=np.int64)
        state["response_lengths"] = np.array([len(each.response) for each in responses], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            CheckpointError: Other fields.
        """
        require_fields("previous responses", state, self.state_dict())
        prompts = _split(state["prompt"], state["prompt_lengths"])
        others = [_split(state[name], state["response_lengths"]) for name in ("response", "mask", "log_probs")]
        self._responses.clear()
        self.tokens = 0
        for slot, prompt, response, mask, log_probs in zip(state["slots"].tolist(), prompts, *others, strict=True):
            self.put(slot, Response(prompt, response, mask, log_probs))

    def _forget(self, slot: int) -> None:
        if (response := self._responses.pop(slot, None)) is not None:
            self.tokens -= response.tokens


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=kind), *parts], dtype=kind)


def _split(joined: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return [part.copy() for part in np.split(joined, np.cumsum(lengths)[:-1])] if len(lengths) else []
