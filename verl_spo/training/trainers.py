"""SPO's trainers: verl's three V1 trainers with SPO's prompts, advantages and checkpoints.

`SPOTrainer` overrides only methods that verl 0.9 calls at fixed points (verl/trainer/ppo/v1/trainer_base.py);
everything between them, from generation to the policy update, stays verl's.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_colocate_async import PPOTrainerColocateAsync
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from verl_spo.core.retention import update_drift
from verl_spo.training import checkpoint, estimator, preflight
from verl_spo.training.deadline import within
from verl_spo.training.history import History
from verl_spo.training.initial import initial_tracker, prior_tracker
from verl_spo.training.initial_rollouts import InitialRollouts
from verl_spo.training.metrics import step_metrics
from verl_spo.training.outcomes import read_outcomes, real_rows, uid_of
from verl_spo.training.policy_loss import LOG_RATIO_METRIC
from verl_spo.training.pool import PromptPool
from verl_spo.training.rescore import Rescoring
from verl_spo.training.session import Completion, Session


class SPOTrainer(InitialRollouts):
    """What the three modes share; stands before verl's trainer in their inheritance, `Rescoring` after it."""

    verl_mode: str

    def __init__(self, config: DictConfig) -> None:
        preflight.check(config)
        self.spo = preflight.spo_config(config)
        with open_dict(config):
            # verl compares the mode's name with its own (trainer_base.py:153, 731, 902, ...).
            config.trainer.v1.trainer_mode = self.verl_mode
        super().__init__(config)
        self.replay_buffer.poll_interval = self.spo.poll_interval_s
        self._completions: list[Completion] = []
        self._lost = 0

    # ------------------------------ set-up ------------------------------

    def _init_dataloader(self) -> None:
        super()._init_dataloader()
        self.pool = PromptPool(self.train_dataset.dataframe, self.config.data.prompt_key)
        preflight.check_pool_size(len(self.pool), self.config)
        # A checkpoint brings its own; what the first start began from may be gone by now.
        resumes = preflight.checkpoint_folder(self.config) is not None
        tracker = (prior_tracker if resumes else initial_tracker)(self.spo, self.pool)
        self.session = Session(self.spo, tracker, self.config.data.train_batch_size, self.pool.name)

    def on_init_end(self) -> None:
        self._sync_weights(super().on_init_end)
        self.history = History.open(self.config, self.spo, self.pool, self.session, self._restored)

    def fit(self, agent_loop_manager: Any) -> None:
        with self.history:
            super().fit(agent_loop_manager)

    def on_validate_begin(self) -> None:
        self.logger.logger["verl_spo"] = self.history
        self._sync_weights(super().on_validate_begin)

    def on_train_begin(self) -> None:
        self.logger.logger["verl_spo"] = self.history
        if self._restored is None:
            if self.spo.init == "rollouts":
                self.start_from_rollouts()
            self.history.begin(self.session)
        if self.spo.init_only:
            self.total_training_steps = 0
            return
        super().on_train_begin()

    # ------------------------------ a step ------------------------------

    def _next_train_batch(self, num_prompts: int | None = None) -> Any:
        """Draw prompts from the whole pool instead of the DataLoader, whose prefetch would make weights stale."""
        self._release_lost()
        dispatch = self.session.dispatch(num_prompts or self.config.data.train_batch_size)
        return self.make_prompts(dispatch.slots, dispatch.uids)

    def _balance_batch(self, batch: KVBatchMeta, *args: Any, **kwargs: Any) -> KVBatchMeta:
        """Order the rows by dispatch, not by arrival, so that the same outcomes make the same mini-batches."""
        place = {uid: number for number, uid in enumerate(self.session.in_flight)}
        batch.reorder(sorted(real_rows(batch), key=lambda row: place[uid_of(batch.keys[row])]))
        return super()._balance_batch(batch, *args, **kwargs)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        outcomes = read_outcomes(batch, self.policy_change, self.session.baseline.needs_energies)
        completion = self.session.complete(outcomes, self.global_steps)
        self._completions.append(completion)
        self.history.keep_rollouts(batch, completion, self.tokenizer)
        with estimator.laid_out(completion.by_uid()):
            return super()._compute_advantage(batch, metrics)

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """One training step, at whose end the tracker holds its evidence: a checkpoint follows right after."""
        batch = super().step(metrics, timing_raw)
        self._release_lost()
        drift = self._drift(batch, metrics)
        self.session.publish(drift)
        completion = Completion.joined(self._completions)
        self._completions.clear()
        spo_metrics = step_metrics(self.session, completion, self._lost, drift, self.history.queue_depth)
        self._lost = 0
        metrics.update(spo_metrics)
        self.history.submit(self.global_steps, self.session, completion, spo_metrics)
        return batch

    def on_step_end(self) -> None:
        self._sync_weights(super().on_step_end)

    def _drift(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> float | None:
        """How far this step's update on `batch`, padding and all, moved the policy, nats a token."""
        actor = self.config.actor_rollout_ref.actor
        updates = len(batch.keys) // actor.ppo_mini_batch_size * actor.ppo_epochs
        change = metrics.get(LOG_RATIO_METRIC)
        return None if change is None else update_drift(float(change), updates)

    def _release_lost(self) -> None:
        """Free the prompts of requests that verl no longer knows: their session failed, or was evicted as stale."""
        known = (tq.kv_list("train") or {}).get("train", {})
        alive = {key.split("_")[0] for key in known}
        self._lost += self.session.release([uid for uid in self.session.in_flight if uid not in alive])

    def _sync_weights(self, hook: Any) -> None:
        """Run a hook of verl's that may publish weights: a failed sync waits for its acknowledgement for ever."""
        within(self.spo.weight_sync_timeout_s, "spo.weight_sync_timeout_s", "weight sync to the rollout engine", hook)

    # ------------------------------ checkpoints ------------------------------

    def _save_checkpoint(self) -> None:
        """SPO's state first: verl's part ends by declaring the checkpoint the latest."""
        root = Path(self.config.trainer.default_local_dir)
        arrays, values = self.session.state()
        identity = checkpoint.Identity(
            self.history.run_uid, preflight.run_name(self.config), self.pool.fingerprint().hex()
        )
        state = checkpoint.Checkpoint(identity, self.global_steps, arrays, values)
        checkpoint.save(root / f"global_step_{self.global_steps}", state)
        self.history.flush()
        super()._save_checkpoint()
        if self.config.trainer.max_actor_ckpt_to_keep:
            checkpoint.prune(root, self.global_steps)

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        self._restored: checkpoint.Checkpoint | None = None
        folder = preflight.checkpoint_folder(self.config)
        if self.global_steps == 0 or folder is None:
            return
        restored = checkpoint.load(folder, preflight.run_name(self.config))
        checkpoint.check_pool(restored, self.pool.fingerprint().hex(), folder)
        self.session.restore(restored.arrays, restored.values)
        # The session has copies: of `kl`'s responses there may be gigabytes.
        self._restored = replace(restored, arrays={}, values={})


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
