"""How sessions went: how they ended, how long they took, and who wrote what; out of verl's TransferQueue."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
import transfer_queue as tq
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta

from verl_spo.store.records import Finish
from verl_spo.store.text import Part
from verl_spo.training.trajectories import last_outputs, uid_of

_WAITING = ("generate_sequences", "tool_calls")
"""What of verl's `AgentLoopMetrics` makes a session last; its reward is worked out after it."""


@dataclass(frozen=True)
class Session:
    """How one session went.

    Attributes:
        finish: How it ended; None where that is not known.
        seconds: That it generated and waited for tools; NaN where that is not known.
        turns: Messages that the model wrote; -1 where that is not known.
        prompt: As the model read it; None where texts are not kept.
        response: As the session went, without special tokens; likewise.
        parts: Who wrote which part of the response; none where the model wrote all of it.
    """

    finish: Finish | None = None
    seconds: float = math.nan
    turns: int = -1
    prompt: str | None = None
    response: str | None = None
    parts: tuple[Part, ...] = ()


class SessionReader:
    """Reads finished sessions as the recipe's options have them."""

    def __init__(self, config: DictConfig, tokenizer: Any) -> None:
        """
        Args:
            config: verl's.
            tokenizer: Of the model.
        """
        self._tokenizer = tokenizer
        self._longest = config.data.max_response_length

    def finish(self, tokens: int, last: int) -> Finish:
        """How a session ended: cut off where it fills its room, unless the model ended it there.

        Args:
            tokens: Of the response, those of tools included.
            last: The last one of them.
        """
        cut = tokens >= self._longest and last != self._tokenizer.eos_token_id
        return Finish.LENGTH if cut else Finish.STOP

    def read(self, batch: KVBatchMeta, kept: Collection[str]) -> dict[str, Session]:
        """A batch's sessions by uid, each by its last output, which carries the whole exchange.

        Of most, small fields are read. A response is read where it fills its room, since only its last token tells
        whether the model ended it there, and where its text is to be kept: `kept` are the uids of those.
        """
        keys = last_outputs(batch)
        if not keys:
            return {}
        ends, said = self._ends(batch, keys), self._texts(batch, [key for key in keys if uid_of(key) in kept])
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["metrics", "num_turns"])
        metrics = rows_of(data, "metrics")
        # verl counts both sides' messages, which take turns, and the question.
        turns = [int(count) // 2 for count in rows_of(data, "num_turns")] if "num_turns" in data else [-1] * len(keys)
        return {
            uid_of(key): Session(ends[key], _seconds(spent), count, **said.get(key, {}))
            for key, spent, count in zip(keys, metrics, turns, strict=True)
        }

    def _ends(self, batch: KVBatchMeta, keys: Sequence[str]) -> dict[str, Finish]:
        lengths = {key: tag.get("response_len") for key, tag in zip(batch.keys, batch.tags, strict=True)}
        full = [key for key in keys if lengths[key] >= self._longest]
        if not full:
            return dict.fromkeys(keys, Finish.STOP)
        data = tq.kv_batch_get(keys=full, partition_id=batch.partition_id, select_fields=["responses"])
        last = {key: int(row[-1]) for key, row in zip(full, rows_of(data, "responses"), strict=True)}
        return {key: self.finish(lengths[key], last[key]) if key in last else Finish.STOP for key in keys}

    def _texts(self, batch: KVBatchMeta, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Prompt, response and parts of some rows."""
        if not keys:
            return {}
        fields = ["prompts", "responses", "response_mask"]
        data = tq.kv_batch_get(keys=list(keys), partition_id=batch.partition_id, select_fields=fields)
        prompts, responses, masks = ([row.tolist() for row in rows_of(data, name)] for name in fields)
        return {
            key: {
                "prompt": self._tokenizer.decode(prompt),
                "response": self._decode(response),
                "parts": self._parts(response, mask),
            }
            for key, prompt, response, mask in zip(keys, prompts, responses, masks, strict=True)
        }

    def _parts(self, tokens: Sequence[int], mask: Sequence[int]) -> tuple[Part, ...]:
        if all(mask):
            return ()
        parts = []
        for generated, run in groupby(zip(mask, tokens, strict=True), key=itemgetter(0)):
            written = [token for _, token in run]
            parts.append(Part("model" if generated else "environment", len(written), self._decode(written)))
        return tuple(parts)

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text


def rows_of(data: Any, name: str) -> list[Any]:
    """A field of what verl's queue returned, row by row."""
    # By get(): what is no tensor comes by [] as a list of another kind.
    column = data.get(name)
    return list(column.unbind()) if isinstance(column, torch.Tensor) else list(column.tolist())


def _seconds(metrics: Mapping[str, float]) -> float:
    spent = [metrics[name] for name in _WAITING if name in metrics]
    return math.fsum(spent) if spent else math.nan
