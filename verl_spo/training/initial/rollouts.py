"""`spo.init=rollouts`: the tracker starts from responses of the initial policy ([SPO] algorithm 2)."""

import logging
import time
from collections.abc import Callable, Set
from dataclasses import dataclass

import numpy as np
import transfer_queue as tq
from tqdm import tqdm
from transfer_queue import KVBatchMeta

from verl_spo.core.estimates import Estimates
from verl_spo.core.spo import SPO
from verl_spo.core.tracker import ValueTracker
from verl_spo.training.initial.sources import tracker_of
from verl_spo.training.recorder import Recorder
from verl_spo.training.trajectories import ENDED, read_session_rewards

_UID = "init"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialRollouts:
    """How the initial policy answers the whole pool, through the trainer's own rollout engine.

    Attributes:
        spo: Before its first step.
        batch_size: Prompts that are asked at a time.
        recorder: Keeps each batch's estimates: an interrupted estimate goes on where it stood.
        ask: Sends prompts (n,) under the given uids (n,) to the rollout engine, for so many responses each.
    """

    spo: SPO
    batch_size: int
    recorder: Recorder
    ask: Callable[[np.ndarray, list[str], int], None]

    def tracker(self) -> ValueTracker:
        """A tracker that starts from `spo.init_rollouts` responses per prompt."""
        options, estimates = self.spo.config, self.recorder.init_estimates()
        missing = np.flatnonzero(estimates.responses < options.init_rollouts)
        with tqdm(total=len(missing), desc="Initial values", unit="prompt") as bar:
            for start in range(0, len(missing), self.batch_size):
                slots = missing[start : start + self.batch_size]
                self._estimate(estimates, slots)
                bar.update(len(slots))
        if silent := np.count_nonzero(estimates.responses == 0):
            _log.warning("spo.init=rollouts: %d prompts got no response and start at the prior", silent)
        return tracker_of(options, estimates.responses > 0, estimates.values(options.prior))

    def _estimate(self, estimates: Estimates, slots: np.ndarray) -> None:
        """Estimate prompts (n,) from new responses; a session that fails brings none."""
        uids = [f"{_UID}{slot}" for slot in slots]
        self.ask(slots, uids, self.spo.config.init_rollouts)
        batch = wait_for(set(uids), self.spo.config.poll_interval_s)
        responded, rewards = read_session_rewards(batch)
        tq.kv_clear(keys=[*uids, *batch.keys], partition_id=batch.partition_id)
        owners = np.array([int(uid.removeprefix(_UID)) for uid in responded], dtype=np.int64)
        estimates.replace(slots, owners, self.spo.scale_rewards(rewards, owners))
        self.recorder.keep_init_estimates(estimates, slots)


def wait_for(uids: Set[str], interval_s: float) -> KVBatchMeta:
    """Wait for requests; their trajectories. verl's replay buffer would replace those that failed by others."""
    while True:
        known = tq.kv_list("train")["train"]
        if all(known[uid]["status"] in ENDED for uid in uids):
            break
        time.sleep(interval_s)
    trajectories = {key: tag for key, tag in known.items() if key not in uids}
    return KVBatchMeta(partition_id="train", keys=list(trajectories), tags=list(trajectories.values()))
