"""What a model answered to benchmarks, out of verl's TransferQueue."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import transfer_queue as tq
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta

from verl_spo.core.rewards import RewardScale
from verl_spo.errors import EvaluationError
from verl_spo.store.records import Finish, Samples
from verl_spo.training.agent_loop_names import SEEDED
from verl_spo.training.seeding import FIELD, seed_of
from verl_spo.training.sessions import SessionReader, rows_of
from verl_spo.training.trajectories import last_outputs, session_of

_MOST_FAILED = 16
_FIELDS = (FIELD, "prompts", "responses", "response_mask", "rm_scores", "extra_fields")


@dataclass(frozen=True)
class Answer:
    """One session's answer.

    Attributes:
        label: Of the row that asked (benchmarks.py).
        session: Of the row, from 0.
        length: Tokens that the model generated.
        seed: Of the sampler; -1 where it was given none.
        policy_version: Of the weights that generated it.
        reward: In [0, 1].
        finish: How it ended.
        found: The answer that the reward function found; empty if it does not say.
        prompt: As the model read it.
        response: As the model wrote it, without special tokens.
    """

    label: str
    session: int
    length: int
    seed: int
    policy_version: int
    reward: float
    finish: Finish
    found: str
    prompt: str
    response: str


class AnswerReader:
    """Reads finished sessions as the recipe's options have them."""

    def __init__(self, config: DictConfig, tokenizer: Any, scale: RewardScale) -> None:
        """
        Args:
            config: verl's.
            tokenizer: Of the model.
            scale: Of rewards; the reward function's own `acc` goes before them.
        """
        self._tokenizer = tokenizer
        self._scale = scale
        self._sessions = SessionReader(config, tokenizer)
        self._seeded = config.actor_rollout_ref.rollout.agent.default_agent_loop == SEEDED

    def read(self, batch: KVBatchMeta) -> list[Answer]:
        """The answers in a batch, one per session; a session's last output carries the whole exchange."""
        keys = last_outputs(batch)
        if not keys:
            return []
        tags = dict(zip(batch.keys, batch.tags, strict=True))
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=list(_FIELDS))
        columns = [rows_of(data, name) for name in _FIELDS]
        return [
            self._answer(key, tags[key], dict(zip(_FIELDS, row, strict=True)))
            for key, row in zip(keys, zip(*columns, strict=True), strict=True)
        ]

    def _answer(self, key: str, tag: Mapping[str, Any], row: Mapping[str, Any]) -> Answer:
        session = session_of(key)
        tokens, said = row["responses"].tolist(), (row["extra_fields"] or {}).get("reward_extra_info") or {}
        return Answer(
            label=row[FIELD],
            session=session,
            length=int(row["response_mask"].sum()),
            seed=seed_of(row[FIELD], session) if self._seeded else -1,
            policy_version=int(tag["min_global_steps"]),
            reward=self._reward(said.get("acc"), float(row["rm_scores"].sum())),
            finish=self._sessions.finish(len(tokens), tokens[-1]),
            found="" if said.get("pred") is None else str(said["pred"]),
            prompt=self._tokenizer.decode(row["prompts"].tolist()),
            response=self._tokenizer.decode(tokens, skip_special_tokens=True),
        )

    def _reward(self, accuracy: float | None, score: float) -> float:
        return float(self._scale.scale([score])[0]) if accuracy is None else float(min(max(accuracy, 0.0), 1.0))


class Failures:
    """Sessions that fail: some do; where most do, it is not the model's doing, and the others would fail as well."""

    def __init__(self) -> None:
        self._ended = self._failed = 0

    def check(self, answers: Collection[Answer | None]) -> None:
        """Count some more answers, None for those that failed.

        Raises:
            EvaluationError: Most of all that were counted have failed.
        """
        self._ended += len(answers)
        self._failed += sum(answer is None for answer in answers)
        if self._failed >= _MOST_FAILED and 2 * self._failed > self._ended:
            raise EvaluationError(
                f"{self._failed} of {self._ended} sessions have failed: the rollout engine, the reward function or a "
                "tool is not there, as the errors above say; the same command asks again for what failed"
            )


def samples_of(answers: Mapping[tuple[int, int], Answer | None]) -> Samples:
    """Answers by the problem's place and the sample's number; those that are None, whose session failed, included."""
    given = list(answers.values())

    def each(name: str, missing: Any) -> list[Any]:
        return [missing if answer is None else getattr(answer, name) for answer in given]

    return Samples(
        place=np.array([place for place, _ in answers], dtype=np.int64),
        sample=np.array([number for _, number in answers], dtype=np.int64),
        length=np.array(each("length", 0)),
        seed=np.array(each("seed", -1)),
        policy_version=np.array(each("policy_version", -1)),
        reward=np.array(each("reward", np.nan)),
        finish=each("finish", Finish.FAILED),
        found=each("found", ""),
        prompt_text=each("prompt", None),
        response_text=each("response", None),
    )
