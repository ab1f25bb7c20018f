"""verl's validation, with every sample kept: what the run's history has of it beside verl's averages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig
from transfer_queue import KVBatchMeta

from verl_spo.store.records import EvaluationInfo, EvaluationRecord, Origin
from verl_spo.training import verl_options
from verl_spo.training.benchmarks import Benchmark, Labelled
from verl_spo.training.samples import Answer, AnswerReader, samples_of

Answers = dict[tuple[int, int], Answer | None]


class Validation:
    """Collects the samples of one validation after the other."""

    def __init__(self, config: DictConfig, rows: Labelled, reader: AnswerReader) -> None:
        """
        Args:
            config: verl's.
            rows: The validation set.
            reader: Of the answers.
        """
        self._rows = rows
        self._reader = reader
        self._model = config.actor_rollout_ref.model.path
        self._sessions = config.actor_rollout_ref.rollout.val_kwargs.n
        self._settings = verl_options.sampling(config)
        self._answers: dict[str, Answers] = {}

    @contextmanager
    def watching(self, replay_buffer: Any) -> Iterator[None]:
        """Read what verl's replay buffer hands over while the block runs: afterwards verl clears its queue."""
        self._answers = {name: self._unanswered(each) for name, each in self._rows.benchmarks.items()}
        sample = replay_buffer.sample

        def reading(*args: Any, **kwargs: Any) -> Any:
            batch, metrics = sample(*args, **kwargs)
            self._keep(batch)
            return batch, metrics

        replay_buffer.sample = reading
        try:
            yield
        finally:
            replay_buffer.sample = sample

    def records(self, step: int) -> list[EvaluationRecord]:
        """What the last validation, of the policy of a step, leaves for the store: one record per benchmark."""
        return [
            EvaluationRecord(self._info(self._rows.benchmarks[name], step), samples_of(answers))
            for name, answers in self._answers.items()
        ]

    def _info(self, benchmark: Benchmark, step: int) -> EvaluationInfo:
        wanted = self._sessions * max(map(len, benchmark.rows))
        return EvaluationInfo(
            benchmark.name, benchmark.problems, wanted, step, self._model, Origin.VALIDATION, self._settings
        )

    def _unanswered(self, benchmark: Benchmark) -> Answers:
        """A place for every sample: those that stay empty have failed."""
        return {
            (place, number): None
            for place, rows in enumerate(benchmark.rows)
            for number in range(len(rows) * self._sessions)
        }

    def _keep(self, batch: KVBatchMeta) -> None:
        for answer in self._reader.read(batch):
            name, place, repetition = self._rows.place_of(answer.label)
            self._answers[name][place, repetition * self._sessions + answer.session] = answer
