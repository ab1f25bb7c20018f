"""`spo.init=rollouts`: the tracker starts from responses of the initial policy ([SPO] algorithm 2)."""

import logging
import time
from collections.abc import Set
from typing import Any

import numpy as np
import transfer_queue as tq
from tqdm import tqdm
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from verl_spo.config import SPOConfig
from verl_spo.training.history import History
from verl_spo.training.initial import tracker_of
from verl_spo.training.outcomes import read_session_rewards
from verl_spo.training.pool import PromptPool
from verl_spo.training.session import Session

_UID = "init"
_ENDED = ("finished", "failure")
_log = logging.getLogger(__name__)


class InitialRollouts(PPOTrainer):  # type: ignore[misc]
    """A trainer that can have its initial policy answer the whole pool, through its own rollout engine."""

    spo: SPOConfig
    pool: PromptPool
    session: Session
    history: History

    def start_from_rollouts(self) -> None:
        """Start the tracker from `spo.init_rollouts` responses a prompt.

        A batch of prompts at a time, each batch stored: an interrupted estimate goes on where it stood.
        """
        estimates = self.history.init_estimates()
        missing = np.flatnonzero(estimates.responses < self.spo.init_rollouts)
        batch_size = self.config.data.train_batch_size
        with tqdm(total=len(missing), desc="Initial values", unit="prompt") as bar:
            for start in range(0, len(missing), batch_size):
                slots = missing[start : start + batch_size]
                estimates.replace(slots, *self._respond(slots))
                self.history.keep_init_estimates(estimates, slots)
                bar.update(len(slots))
        if silent := np.count_nonzero(estimates.responses == 0):
            _log.warning("spo.init=rollouts: %d prompts got no response and start at the prior", silent)
        self.session.start_from(tracker_of(self.spo, estimates.responses > 0, estimates.values(self.spo.prior)))

    def make_prompts(self, slots: np.ndarray, uids: list[str]) -> Any:
        """verl's batch of prompts, as `PPOTrainer._next_train_batch` makes it."""
        batch = collate_fn([self.train_dataset[int(row)] for row in self.pool.rows[slots]])
        batch["uid"] = np.array(uids, dtype=object)
        prompts = tu.get_tensordict(batch)
        tu.assign_non_tensor_data(prompts, "global_steps", self.global_steps)
        return prompts

    def _respond(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Have the present policy answer; the slot and the reward in [0, 1] of each response, (responses,).

        A session that fails brings none.
        """
        asked = [f"{_UID}{slot}" for slot in slots]
        prompts = self.make_prompts(slots, asked)
        tu.assign_non_tensor_data(prompts, "__rollout_n__", self.spo.init_rollouts)
        self._submit_batch_to_rollout(prompts)
        batch = self._ended(set(asked))
        uids, rewards = read_session_rewards(batch)
        tq.kv_clear(keys=[*asked, *batch.keys], partition_id=batch.partition_id)
        responded = np.array([int(uid.removeprefix(_UID)) for uid in uids], dtype=np.int64)
        return responded, self.session.scale_rewards(rewards, responded)

    def _ended(self, uids: Set[str]) -> KVBatchMeta:
        """Wait for requests; their trajectories. verl's replay buffer would replace those that failed by others."""
        while True:
            known = tq.kv_list("train")["train"]
            if all(known[uid]["status"] in _ENDED for uid in uids):
                break
            time.sleep(self.spo.poll_interval_s)
        trajectories = {key: tag for key, tag in known.items() if key not in uids}
        return KVBatchMeta(partition_id="train", keys=list(trajectories), tags=list(trajectories.values()))
