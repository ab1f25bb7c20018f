"""The bridge from a training run to the store: what happened, step by step, off the training step's critical path."""

import logging
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf
from transfer_queue import KVBatchMeta

from verl_spo.config import SPOConfig
from verl_spo.store import RunWriter, open_reader, open_writer, queries
from verl_spo.store.records import InitScores, Observations, RunInfo, StepRecord, TrackerRows
from verl_spo.store.urls import without_secrets
from verl_spo.training import preflight, provenance
from verl_spo.training.checkpoint import Checkpoint
from verl_spo.training.initial import Estimates
from verl_spo.training.outcomes import real_rows, uid_of
from verl_spo.training.pool import PromptPool
from verl_spo.training.session import Completion, Session

_log = logging.getLogger(__name__)


class History:
    """One run's history while it trains; also a backend of verl's `Tracking` (`log`).

    Used as a context manager around training, it notes how the run ended.
    """

    def __init__(self, writer: RunWriter, run_uid: str, config: SPOConfig, init_estimates: Estimates) -> None:
        self.run_uid = run_uid
        self._writer = writer
        self._config = config
        self._init_estimates = init_estimates
        self._texts: dict[str, tuple[str, str]] = {}

    @classmethod
    def open(
        cls, config: DictConfig, spo: SPOConfig, pool: PromptPool, session: Session, restored: Checkpoint | None
    ) -> Self:
        """Start the run in the store, or continue it where the checkpoint stands.

        Raises:
            StoreError: The database cannot be used, or a live process writes a run of this name.
        """
        run_uid = restored.identity.run_uid if restored else uuid.uuid4().hex
        info = RunInfo(
            name=preflight.run_name(config),
            config=preflight.plain(config),
            versions=provenance.versions(),
            git=provenance.git_state(),
            host=provenance.host(),
            pool_digest=pool.fingerprint(),
            uid=run_uid,
        )
        rows = tracker_rows(session, np.arange(len(pool)))
        resume_step = restored.step if restored else None
        earlier = earlier_estimates(config, spo, pool)
        keep_scores = bool(earlier.responses.any())
        writer = open_writer(spo.store, info, pool.records(), rows, resume_step, session.retention.clock, keep_scores)
        return cls(writer, run_uid, spo, earlier)

    @property
    def queue_depth(self) -> int:
        """Training steps that wait for the database."""
        return self._writer.queue_depth

    def begin(self, session: Session) -> None:
        """Note where the tracker starts, as step 0."""
        self._submit(0, session, Completion.none(), np.arange(session.tracker.size), failed=0, metrics={})

    def init_estimates(self) -> Estimates:
        """What an earlier attempt of this run estimated before it was interrupted, of the same initial policy."""
        return self._init_estimates

    def keep_init_estimates(self, estimates: Estimates, slots: np.ndarray) -> None:
        """Store the estimates of some slots, of those that there are."""
        slots = slots[estimates.responses[slots] > 0]
        self._writer.add_init_scores(InitScores(slots, estimates.responses[slots], estimates.reward_sum[slots]))

    def keep_rollouts(self, batch: KVBatchMeta, completion: Completion, tokenizer: Any) -> None:
        """Keep the text of the share of trajectories that `spo.store.rollout_fraction` asks for."""
        share = self._config.store.rollout_fraction if self._config.store.rollout_budget_mb else 0.0
        chosen = {uid for uid in completion.uids if int(uid[:8], 16) < share * 2**32}
        # A session's last output carries the whole exchange; later keys replace earlier ones.
        keys = {uid_of(batch.keys[row]): batch.keys[row] for row in real_rows(batch)}
        keys = {uid: key for uid, key in keys.items() if uid in chosen}
        if not keys:
            return
        data = tq.kv_batch_get(
            keys=list(keys.values()), partition_id=batch.partition_id, select_fields=["prompts", "responses"]
        )
        prompts = tokenizer.batch_decode([row.tolist() for row in data["prompts"].unbind()])
        responses = tokenizer.batch_decode(
            [row.tolist() for row in data["responses"].unbind()], skip_special_tokens=True
        )
        self._texts.update(zip(keys, zip(prompts, responses, strict=True), strict=True))

    def submit(self, step: int, session: Session, completion: Completion, metrics: dict[str, float]) -> None:
        """Hand over one step's evidence; returns at once unless the queue is full."""
        self._submit(step, session, completion, np.unique(completion.slots), int(metrics["spo/failed"]), metrics)

    def _submit(
        self,
        step: int,
        session: Session,
        completion: Completion,
        changed: np.ndarray,
        failed: int,
        metrics: dict[str, float],
    ) -> None:
        texts = [self._texts.get(uid, (None, None)) for uid in completion.uids]
        self._texts.clear()
        observations = Observations(
            slot=completion.slots,
            policy_version=completion.versions,
            reward=completion.rewards,
            baseline=completion.baselines,
            advantage=completion.advantages,
            rho=completion.rho,
            drift=completion.kl,
            alpha=session.tracker.alpha[completion.slots],
            beta=session.tracker.beta[completion.slots],
            response_length=completion.lengths,
            session=completion.uids,
            prompt_text=[prompt for prompt, _ in texts],
            response_text=[response for _, response in texts],
        )
        summary = {
            "value_histogram": session.histogram.counts.tolist(),
            "n_prompts_visited": session.tracker.n_visited,
            "n_failed": failed,
        }
        rows = tracker_rows(session, changed)
        self._writer.submit(StepRecord(step, session.retention.clock, observations, rows, summary, metrics))

    def log(self, data: dict[str, Any], step: int) -> None:
        """verl's metrics of a step (verl/utils/tracking.py:191); SPO's own came with the step's evidence."""
        numbers = {
            name: float(value)
            for name, value in data.items()
            if isinstance(value, int | float | np.number) and not name.startswith("spo/")
        }
        self._writer.log(step, numbers)

    def flush(self) -> None:
        """Return when all that was submitted is durable.

        Raises:
            DurabilityError: It was not within `spo.store.durability_timeout_s`.
        """
        self._writer.flush(self._config.store.durability_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close("finished" if kind is None else "failed")


_ROLLOUT = ("temperature", "top_p", "top_k", "prompt_length", "response_length", "multi_turn", "agent")
_ESTIMATES_DEPEND_ON = (
    *(f"data.{name}" for name in ("apply_chat_template_kwargs", "max_prompt_length")),
    *(f"actor_rollout_ref.model.{name}" for name in ("path", "custom_chat_template", "lora_adapter_path")),
    *(f"actor_rollout_ref.rollout.{name}" for name in _ROLLOUT),
    *(f"reward.{name}" for name in ("custom_reward_function", "reward_manager", "reward_model.model_path")),
    *(f"spo.reward_{name}" for name in ("low", "high", "threshold")),
)
"""Options under other values of which an estimate would be another one."""


def earlier_estimates(config: DictConfig, spo: SPOConfig, pool: PromptPool) -> Estimates:
    """What the attempt of this run before this one has estimated for `init=rollouts`, if under the same options."""
    estimates = Estimates.none(len(pool))
    if spo.init != "rollouts":
        return estimates
    with open_reader(spo.store.url) as reader:
        earlier = queries.find_run(reader, preflight.run_name(config))
        stored = {} if earlier is None else queries.init_scores(reader, earlier.run.id)
    if earlier is None or not stored:
        return estimates
    if changed := _changed(earlier.config, without_secrets(preflight.plain(config))):
        _log.warning("spo.init=rollouts: %s changed, so that earlier estimates are made anew", ", ".join(changed))
        return estimates
    for slot, digest in enumerate(pool.digests):
        estimates.responses[slot], estimates.reward_sum[slot] = stored.get(digest, (0, 0.0))
    return estimates


def _changed(*configs: Mapping[str, Any]) -> list[str]:
    """Options on which estimates depend and that differ between two configurations."""
    before, now = (OmegaConf.create(dict(config)) for config in configs)
    return [name for name in _ESTIMATES_DEPEND_ON if OmegaConf.select(before, name) != OmegaConf.select(now, name)]


def tracker_rows(session: Session, slots: np.ndarray) -> TrackerRows:
    """The tracker's state of some slots, copied."""
    tracker = session.tracker
    return TrackerRows(
        slots=slots,
        alpha=tracker.alpha[slots],
        beta=tracker.beta[slots],
        z=tracker.z[slots],
        visits=tracker.visits[slots],
        last_step=tracker.last_step[slots],
    )
