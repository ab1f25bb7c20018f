"""One process that evaluates a policy: what it has of the store."""

import time
from types import TracebackType
from typing import Self

from sqlalchemy import select

from verl_spo.config import StoreConfig
from verl_spo.errors import StoreError
from verl_spo.store import evaluations
from verl_spo.store.database.connections import open_engine, reaching
from verl_spo.store.database.urls import describe
from verl_spo.store.records import EvaluationInfo, Samples, Verdicts
from verl_spo.store.schema import Run

_MIB = 2**20


class Evaluating:
    """Writes evaluations, each call a transaction. What was written stays, whenever the process ends."""

    def __init__(self, config: StoreConfig, run: str | None = None, attempt: int | None = None) -> None:
        """
        Args:
            config: Where to, and how much text of it.
            run: Name of the run that the policy is of; None for a model of no run.
            attempt: Of that run.

        Raises:
            StoreError: The database cannot be used, or has no such run.
        """
        self._engine = open_engine(config.url)
        self._budget = config.rollout_budget_mb * _MIB
        self._run_id = None if run is None else self._find(run)
        self._attempt = None if run is None else attempt

    def begin(self, info: EvaluationInfo) -> int:
        """Find the evaluation, or make it; its id."""
        with reaching(self._engine.url), self._engine.begin() as connection:
            return evaluations.begin(connection, info, self._run_id, self._attempt)

    def sample_keys(self, evaluation: int) -> list[tuple[int, int]]:
        """Place and number of the samples that are there."""
        with reaching(self._engine.url), self._engine.connect() as connection:
            return evaluations.sample_keys(connection, evaluation)

    def add(self, evaluation: int, samples: Samples) -> None:
        """Add samples, of which those that are there already add nothing."""
        with reaching(self._engine.url), self._engine.begin() as connection:
            evaluations.add_samples(connection, evaluation, samples, time.time(), budget=None)

    def trim(self, evaluation: int) -> None:
        """Let texts of other evaluations go, as far as the budget asks: after those of this one were judged."""
        with reaching(self._engine.url), self._engine.begin() as connection:
            evaluations.trim(connection, evaluation, self._budget)

    def judge(self, evaluation: int, scorer: str, verdicts: Verdicts) -> None:
        """Write what a scorer says of samples, in place of what it said before."""
        with reaching(self._engine.url), self._engine.begin() as connection:
            evaluations.set_verdicts(connection, evaluation, scorer, verdicts)

    def _find(self, run: str) -> int:
        with reaching(self._engine.url), self._engine.connect() as connection:
            found = connection.execute(select(Run.id).where(Run.name == run)).scalar_one_or_none()
        if found is None:
            raise StoreError(f"run {run!r}: not in {describe(self._engine.url)}; `verl-spo runs list` shows them")
        return int(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._engine.dispose()
