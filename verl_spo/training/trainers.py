"""SPO's trainers: verl's three V1 trainers with SPO's prompts, advantages and checkpoints.

`SPOTrainer` overrides only methods that verl 0.9 calls at fixed points (verl/trainer/ppo/v1/trainer_base.py);
everything between them, from generation to the policy update, stays verl's.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer, register_trainer
from verl.trainer.ppo.v1.trainer_colocate_async import PPOTrainerColocateAsync
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from verl_spo.core.policy_change import update_change
from verl_spo.core.rewards import RewardScale
from verl_spo.core.spo import SPO, Completion
from verl_spo.store.records import Parent
from verl_spo.training import (
    checkpoint,
    estimator,
    launcher,
    phases,
    preflight,
    provenance,
    store_location,
    verl_options,
)
from verl_spo.training.benchmarks import Labelled, relabel
from verl_spo.training.deadline import within
from verl_spo.training.initial.earlier import earlier_estimates
from verl_spo.training.initial.rollouts import InitialRollouts
from verl_spo.training.initial.sources import initial_tracker, prior_tracker
from verl_spo.training.metrics import step_metrics
from verl_spo.training.policy_loss import LOG_RATIO_METRIC, NOISE_METRIC, with_noise
from verl_spo.training.preflight import notes
from verl_spo.training.prompts.dataset import pool_source
from verl_spo.training.prompts.pool import PromptPool
from verl_spo.training.recorder import Recorder
from verl_spo.training.rescoring import Rescoring
from verl_spo.training.samples import AnswerReader
from verl_spo.training.sessions import SessionReader
from verl_spo.training.trajectories import outcomes_of, real_rows, uid_of
from verl_spo.training.validation import Validation

_log = logging.getLogger(__name__)


class SPOTrainer(PPOTrainer):  # type: ignore[misc]
    """What the three modes share; stands before verl's trainer in their inheritance, `Rescoring` after it."""

    verl_mode: str

    def __init__(self, config: DictConfig) -> None:
        preflight.check(config)
        notes.log(config)
        self.options = verl_options.spo_config(config)
        _log.warning("history goes to %s, from %s", store_location.shown(self.options.store), provenance.host())
        with open_dict(config):
            # verl compares the mode's name with its own (trainer_base.py:153, 731, 902, ...).
            config.trainer.v1.trainer_mode = self.verl_mode
            for split in ("train_files", "val_files"):
                config.data[split] = verl_options.data_files(config, split)
        super().__init__(config)
        self.replay_buffer.poll_interval = self.options.poll_interval_s
        self._completions: list[Completion] = []
        self._lost = 0
        self._in_training = self._stopping = False
        self._saved_step: int | None = None

    # ------------------------------ set-up ------------------------------

    def _init_dataloader(self) -> None:
        preflight.check_processor(self.processor, self.config, self.options)
        self._report("reading the prompts")
        super()._init_dataloader()
        problems = Labelled(self.val_dataset, self.config.data)
        self.val_dataloader: Any = relabel(self.val_dataloader, problems)
        reader = AnswerReader(self.config, self.tokenizer, RewardScale.of(self.options))
        self.sessions = SessionReader(self.config, self.tokenizer)
        self.validation = Validation(self.config, problems, reader)
        self.pool = PromptPool(*pool_source(self.train_dataset, self.config.data, self.options.identity_fields))
        preflight.check_pool_size(len(self.pool), self.config)
        # A checkpoint brings its own; what the first start began from may be gone by now.
        resumes = verl_options.checkpoint_folder(self.config) is not None
        tracker = (prior_tracker if resumes else initial_tracker)(self.options, self.pool)
        self.spo = SPO(
            self.options,
            pool_size=len(self.pool),
            batch_size=self.config.data.train_batch_size,
            tracker=tracker,
            describe=self.pool.name,
            in_parts=self.parameter_sync_step > 1,
        )
        self._report("loading the model and the rollout engine")

    def _setup(self) -> None:
        super()._setup()
        workers = self.actor_rollout_wg
        workers.update_actor = with_noise(workers.update_actor, lambda: self.local_trigger_step == 0)

    def on_init_end(self) -> None:
        self._report("publishing the weights")
        self._sync_weights(super().on_init_end)
        self._report("storing the prompts")
        earlier = earlier_estimates(self.config, self.options, self.pool)
        self.recorder = Recorder.open(
            self.config, self.options, self.pool, self.spo, earlier, self._restored, self._parent
        )

    def fit(self, agent_loop_manager: Any) -> None:
        with suppress(launcher.StopRequested), self.recorder:
            super().fit(agent_loop_manager)
            if self._stopping:
                raise launcher.StopRequested

    def on_validate_begin(self) -> None:
        self.logger.logger["verl_spo"] = self.recorder
        if not self._in_training:
            self._report("validating")
        self._sync_weights(super().on_validate_begin)

    def _validate(self) -> dict[str, float]:
        # A reward model on the trainer's own devices judges later, when nobody looks.
        if self.reward_loop_manager.reward_loop_worker_handles is None:
            return dict(super()._validate())
        with self.validation.watching(self.replay_buffer):
            metrics: dict[str, float] = super()._validate()
        for record in self.validation.records(self.global_steps):
            self.recorder.evaluate(record)
        return metrics

    def on_validate_end(self) -> None:
        super().on_validate_end()
        if self._in_training:
            self._stop_if_asked()

    def on_train_begin(self) -> None:
        self.logger.logger["verl_spo"] = self.recorder
        self._leave_if_asked()
        if self._restored is None:
            if self.options.init == "rollouts" and self._parent is None:
                self._start_from_rollouts()
            self.recorder.begin(self.spo, self.global_steps - 1)
        if self.options.init_only:
            self.total_training_steps = 0
            return
        self._report("taking the first step")
        self._in_training = True
        super().on_train_begin()

    def _start_from_rollouts(self) -> None:
        self._report("estimating the initial values")

        def ask(slots: np.ndarray, uids: list[str], responses: int) -> None:
            self._leave_if_asked()
            prompts = self._prompts(slots, uids)
            tu.assign_non_tensor_data(prompts, "__rollout_n__", responses)
            self._submit_batch_to_rollout(prompts)

        rollouts = InitialRollouts(self.spo, self.config.data.train_batch_size, self.recorder, ask)
        self.spo.start_from(rollouts.tracker())

    # ------------------------------ a step ------------------------------

    def _next_train_batch(self, num_prompts: int | None = None) -> Any:
        """Draw prompts from the whole pool instead of the DataLoader, whose prefetch would make weights stale."""
        self._release_lost()
        dispatch = self.spo.dispatch(num_prompts or self.config.data.train_batch_size)
        return self._prompts(dispatch.slots, dispatch.uids)

    def _prompts(self, slots: np.ndarray, uids: list[str]) -> Any:
        """verl's batch of prompts, as `PPOTrainer._next_train_batch` makes it."""
        batch = collate_fn([self.train_dataset[int(row)] for row in self.pool.rows[slots]])
        batch["uid"] = np.array(uids, dtype=object)
        prompts = tu.get_tensordict(batch)
        tu.assign_non_tensor_data(prompts, "global_steps", self.global_steps)
        return prompts

    def _balance_batch(self, batch: KVBatchMeta, *args: Any, **kwargs: Any) -> KVBatchMeta:
        """Order the rows by dispatch, not by arrival, so that the same outcomes make the same mini-batches."""
        place = {uid: number for number, uid in enumerate(self.spo.in_flight)}
        batch.reorder(sorted(real_rows(batch), key=lambda row: place[uid_of(batch.keys[row])]))
        return super()._balance_batch(batch, *args, **kwargs)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """SPO's advantages, from the rewards and the mask that verl has read anyway."""

        def complete(rewards: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
            outcomes = outcomes_of(batch, rewards, mask, self.policy_change, self.spo.baseline.needs_squared_norms)
            completion = self.spo.complete(**vars(outcomes), step=self.global_steps)
            self._lost += len(outcomes.uids) - len(completion.uids)
            self._completions.append(completion)
            return completion.by_uid()

        with estimator.computing(complete):
            advanced = super()._compute_advantage(batch, metrics)
        self.recorder.keep_rollouts(batch, self._completions[-1], self.sessions)
        return advanced

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """One training step, at whose end the tracker holds its evidence: a checkpoint follows right after."""
        batch = super().step(metrics, timing_raw)
        self._release_lost()
        change = self._update_change(batch, metrics)
        self.spo.publish(change)
        completion = Completion.joined(self._completions)
        self._completions.clear()
        depth, free = self.recorder.queue_depth, self.recorder.disk_free_gb()
        spo_metrics = step_metrics(self.spo, completion, self._lost, change, depth, free)
        metrics.update(spo_metrics)
        self.recorder.submit(self.global_steps, self.spo, completion, self._lost, spo_metrics)
        self._lost = 0
        return batch

    def on_step_end(self) -> None:
        # Nobody generates with the weights of a run that stops.
        if not self._stop_if_asked():
            self._sync_weights(super().on_step_end)

    def _update_change(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> float | None:
        """How far this step's update on `batch`, padding and all, moved the policy, nats per token."""
        actor = self.config.actor_rollout_ref.actor
        updates = len(batch.keys) // actor.ppo_mini_batch_size * actor.ppo_epochs
        mean = metrics.get(LOG_RATIO_METRIC)
        return None if mean is None else update_change(float(mean), updates, float(metrics[NOISE_METRIC]))

    def _release_lost(self) -> None:
        """Free the prompts of requests that verl no longer knows: their session failed, or was evicted as stale."""
        known = (tq.kv_list("train") or {}).get("train", {})
        alive = {key.split("_")[0] for key in known}
        self._lost += self.spo.release([uid for uid in self.spo.in_flight if uid not in alive])

    def _sync_weights(self, hook: Any) -> None:
        """Run a hook of verl's that may publish weights: a failed sync waits for its acknowledgement for ever."""
        within(
            self.options.weight_sync_timeout_s, "spo.weight_sync_timeout_s", "weight sync to the rollout engine", hook
        )

    # ------------------------------ the launcher ------------------------------

    def _report(self, phase: str) -> None:
        phases.report(self.options.store.url, verl_options.run_name(self.config), phase)

    def _leave_if_asked(self) -> None:
        """Before the first step there is nothing to save."""
        if launcher.wants_stop():
            self._shutdown_dump_executor()
            raise launcher.StopRequested

    def _stop_if_asked(self) -> bool:
        """Make this step, which has ended, the last one, and save it; whether that is so."""
        if self.global_steps >= self.total_training_steps or not launcher.wants_stop():
            return False
        self._stopping = True
        self.total_training_steps = self.global_steps
        # May take minutes, and a resume that validates before it trains does the same.
        self.config.trainer.test_freq = -1
        if self._saved_step != self.global_steps:
            self._save_checkpoint()
        return True

    # ------------------------------ checkpoints ------------------------------

    def _save_checkpoint(self) -> None:
        """SPO's state, then the history, then verl's part, which ends by declaring the checkpoint the latest.

        Whenever the run is killed, a resume finds a declared checkpoint whose history is durable. Where neither the
        database nor its spool takes the history, the weights are saved all the same, and training stops only if that
        has not changed some time later.

        Raises:
            DurabilityError: Training must not go on.
        """
        root = Path(self.config.trainer.default_local_dir)
        identity = checkpoint.Identity(
            self.recorder.run_uid, verl_options.run_name(self.config), self.pool.fingerprint().hex(), self._parent
        )
        state = checkpoint.Checkpoint(identity, self.global_steps, self.spo.state_dict())
        checkpoint.save(root / f"global_step_{self.global_steps}", state)
        self.recorder.settle()
        super()._save_checkpoint()
        self.recorder.secure()
        if self.config.trainer.max_actor_ckpt_to_keep:
            checkpoint.prune(root, self.global_steps)
        self._saved_step = self.global_steps

    def _load_checkpoint(self) -> None:
        self._restored: checkpoint.Checkpoint | None = None
        self._parent: Parent | None = None
        folder, branch = verl_options.checkpoint_folder(self.config), verl_options.branch_point(self.config)
        with verl_options.resuming_from(self.config, branch):
            super()._load_checkpoint()
        if self.global_steps == 0 or folder is None:
            return
        restored = checkpoint.load(folder, verl_options.run_name(self.config), branches=branch is not None)
        checkpoint.check_pool(restored, self.pool.fingerprint().hex(), folder)
        found = restored.identity
        if branch is not None:
            self.spo.branch_from(restored.state)
            self._parent = Parent(found.run_uid, found.run_name, restored.step)
            return
        self.spo.load_state_dict(restored.state)
        self._parent = found.parent
        # SPO has copies: of `kl`'s responses there may be gigabytes.
        self._restored = replace(restored, state={})


@register_trainer("spo_sync")
class SPOTrainerSync(SPOTrainer, PPOTrainerSync, Rescoring):  # type: ignore[misc]
    """Synchronous SPO: generate, train, publish, one after the other."""

    verl_mode = "sync"


@register_trainer("spo_colocate_async")
class SPOTrainerColocateAsync(SPOTrainer, PPOTrainerColocateAsync, Rescoring):  # type: ignore[misc]
    """Asynchronous SPO on shared devices, with partial rollouts."""

    verl_mode = "colocate_async"


@register_trainer("spo_separate_async")
class SPOTrainerSeparateAsync(SPOTrainer, PPOTrainerSeparateAsync, Rescoring):  # type: ignore[misc]
    """Asynchronous SPO with trainer and rollout on devices of their own."""

    verl_mode = "separate_async"

    def _setup(self) -> None:
        # verl passes flush=True to logger.info where there are no hybrid replicas (trainer_separate_async.py:184).
        logging.getLogger(PPOTrainerSeparateAsync.__module__).setLevel(logging.WARNING)
        super()._setup()
