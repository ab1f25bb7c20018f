"""The bridge from a training run to the store: what happened, step by step, off the training step's critical path."""

import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta

from verl_spo.config import SPOConfig
from verl_spo.core.difficulty import DifficultyCounts
from verl_spo.core.estimates import Estimates
from verl_spo.core.spo import SPO, Completion
from verl_spo.core.tracker import FIELDS
from verl_spo.store import RunWriter, open_writer
from verl_spo.store.records import (
    EvaluationRecord,
    InitScores,
    Observations,
    Parent,
    PromptRecord,
    RunInfo,
    StepRecord,
    TrackerRows,
)
from verl_spo.store.runs.status import Status
from verl_spo.training import launcher, provenance, verl_options
from verl_spo.training.checkpoint import Checkpoint
from verl_spo.training.prompts.pool import PromptPool
from verl_spo.training.sessions import Session, SessionReader

_UNKNOWN = Session()


class Recorder:
    """One run's history while it trains; also a backend of verl's `Tracking` (`log`).

    Used as a context manager around training, it notes how the run ended.
    """

    def __init__(
        self,
        writer: RunWriter,
        run_uid: str,
        config: SPOConfig,
        init_estimates: Estimates,
        difficulty: DifficultyCounts,
        folders: Sequence[Path] = (),
    ) -> None:
        """`folders` are those of the run's files, which need not exist yet."""
        self.run_uid = run_uid
        self._writer = writer
        self._config = config
        self._init_estimates = init_estimates
        self._difficulty = difficulty
        self._folders = folders
        self._sessions: dict[str, Session] = {}

    @classmethod
    def open(
        cls,
        config: DictConfig,
        options: SPOConfig,
        pool: PromptPool,
        spo: SPO,
        earlier: Estimates,
        restored: Checkpoint | None,
        parent: Parent | None,
    ) -> Self:
        """Start the run in the store, or continue it where its checkpoint stands.

        `earlier` are the estimates for `init=rollouts` that an interrupted attempt of this run has stored. A run that
        has a `parent` starts after the step of that one's checkpoint.

        Raises:
            StoreError: The database cannot be used, or a live process writes a run of this name.
        """
        run_uid = restored.identity.run_uid if restored else uuid.uuid4().hex
        info = RunInfo(
            name=verl_options.run_name(config),
            config=verl_options.plain(config),
            versions=provenance.versions(),
            git=provenance.git_state(),
            host=provenance.host(),
            pool_digest=pool.fingerprint(),
            uid=run_uid,
            parent=parent,
            starter=launcher.starter(),
        )
        rows = tracker_rows(spo, np.arange(len(pool)))
        resume_step = restored.step if restored else None
        keep_scores = bool(earlier.responses.any())
        sources = _Sources()
        prompts = sources.noted(pool.records())
        writer = open_writer(options.store, info, prompts, rows, resume_step, spo.retention.clock, keep_scores)
        folders = [*writer.folders, Path(config.trainer.default_local_dir).absolute()]
        return cls(writer, run_uid, options, earlier, sources.counts(spo), folders)

    @property
    def queue_depth(self) -> int:
        """Records that wait for the database: two or three of each step."""
        return self._writer.queue_depth

    def disk_free_gb(self) -> float:
        """GiB free where the history and the checkpoints lie, on the fuller disk; NaN where no folder is known."""
        places = {next(each for each in (folder, *folder.parents) if each.is_dir()) for folder in self._folders}
        return min((shutil.disk_usage(place).free for place in places), default=float("nan")) / 2**30

    def begin(self, spo: SPO, step: int) -> None:
        """Note where the tracker starts, as the step before the first one."""
        self._submit(step, spo, Completion.none(), np.arange(spo.tracker.size), failed=0, metrics={})

    def init_estimates(self) -> Estimates:
        """What an interrupted attempt of this run estimated, of the same initial policy."""
        return self._init_estimates

    def keep_init_estimates(self, estimates: Estimates, slots: np.ndarray) -> None:
        """Store the estimates of some slots, of those that there are."""
        slots = slots[estimates.responses[slots] > 0]
        self._writer.add_init_scores(InitScores(slots, estimates.responses[slots], estimates.reward_sum[slots]))

    def keep_rollouts(self, batch: KVBatchMeta, completion: Completion, reader: SessionReader) -> None:
        """Keep how each session went, and the text of the share that `spo.store.rollout_fraction` asks for."""
        share = self._config.store.rollout_fraction if self._config.store.rollout_budget_mb else 0.0
        chosen = {uid for uid in completion.uids if int(uid[:8], 16) < share * 2**32}
        self._sessions.update(reader.read(batch, chosen))

    def submit(self, step: int, spo: SPO, completion: Completion, failed: int, metrics: dict[str, float]) -> None:
        """Hand over a step's evidence, and how many requests brought none; returns at once unless the queue is full."""
        self._submit(step, spo, completion, np.unique(completion.slots), failed, metrics)

    def _submit(
        self,
        step: int,
        spo: SPO,
        completion: Completion,
        changed: np.ndarray,
        failed: int,
        metrics: dict[str, float],
    ) -> None:
        tracker = spo.tracker
        sessions = [self._sessions.get(uid, _UNKNOWN) for uid in completion.uids]
        self._sessions.clear()
        observations = Observations(
            slot=completion.slots,
            policy_version=completion.versions,
            reward=completion.rewards,
            baseline=completion.baselines,
            advantage=completion.advantages,
            rho=completion.rho,
            policy_change=completion.policy_change,
            alpha=tracker.alpha[completion.slots],
            beta=tracker.beta[completion.slots],
            response_length=completion.lengths,
            uid=completion.uids,
            prompt_text=[session.prompt for session in sessions],
            response_text=[session.response for session in sessions],
            parts=[session.parts or None for session in sessions],
            finish=[session.finish for session in sessions],
            seconds=np.array([session.seconds for session in sessions]),
            turns=np.array([session.turns for session in sessions], dtype=np.int64),
        )
        moves = self._difficulty.update(changed, tracker.value(changed), tracker.visits[changed])
        summary = {
            "value_histogram": spo.histogram.counts.tolist(),
            "n_prompts_visited": tracker.n_visited,
            "n_failed": failed,
            "classes": self._difficulty.by_source,
            "moves": moves,
        }
        rows = tracker_rows(spo, changed)
        self._writer.submit(StepRecord(step, spo.retention.clock, observations, rows, summary, metrics))

    def log(self, data: dict[str, Any], step: int) -> None:
        """verl's metrics of a step (verl/utils/tracking.py:191); SPO's own came with the step's evidence."""
        numbers = {
            name: float(value)
            for name, value in data.items()
            if isinstance(value, int | float | np.number) and not name.startswith("spo/")
        }
        self._writer.log(step, numbers)

    def evaluate(self, record: EvaluationRecord) -> None:
        """Hand over a benchmark's samples."""
        self._writer.evaluate(record)

    def settle(self) -> bool:
        """Make all that was submitted durable, in the database or in its spool, within seconds; whether that worked."""
        return self._writer.settle()

    def secure(self) -> None:
        """`settle`, for as long as `spo.store.durability_timeout_s`.

        Raises:
            DurabilityError: Neither database nor spool took everything.
        """
        self._writer.secure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close(_status(kind))


class _Sources:
    """The data source of each slot, noted while the prompts pass by on their way into the store."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of_slots: list[int] = []

    def noted(self, prompts: Iterable[PromptRecord]) -> Iterator[PromptRecord]:
        for prompt in prompts:
            self._of_slots.append(self._numbers.setdefault(prompt.data_source, len(self._numbers)))
            yield prompt

    def counts(self, spo: SPO) -> DifficultyCounts:
        """The pool's prompts by source and class, as the tracker stands."""
        return DifficultyCounts(spo.tracker.value(), spo.tracker.visits, self._of_slots, list(self._numbers))


def _status(ended_by: type[BaseException] | None) -> Status:
    if ended_by is launcher.StopRequested:
        return Status.STOPPED
    return Status.FINISHED if ended_by is None else Status.FAILED


def tracker_rows(spo: SPO, slots: np.ndarray) -> TrackerRows:
    """The tracker's state of some slots, copied."""
    return TrackerRows(slots, **{name: getattr(spo.tracker, name)[slots] for name in FIELDS})
