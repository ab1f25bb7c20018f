"""Runs in a store whose steps bring what a test says: to be found all right, or not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.support.stores import BATCH, Training, info, start
from verl_spo.store import RunWriter
from verl_spo.store.runs.status import Status

STEP_S = 20.0
BEGAN_AT = 1.0e9

Course = Callable[[int], float]


@dataclass(frozen=True)
class Story:
    """What each step brings, by its number from 1; as it stands, a healthy run.

    Attributes:
        reward: Mean reward, in [0, 1].
        entropy: Nats per token.
        failed: Requests without a trajectory.
        queue: Records that wait for the database.
        free: GiB free.
        ended_at: Seconds since the epoch.
    """

    steps: int = 60
    reward: Course = lambda step: 0.5
    entropy: Course = lambda step: 0.4
    failed: Course = lambda step: 0
    queue: Course = lambda step: 2
    free: Course = lambda step: 300
    ended_at: Course = lambda step: BEGAN_AT + STEP_S * step

    def write(self, url: str, name: str = "demo/spo", **changes: Any) -> RunWriter:
        """Write the run with a writer that goes on; `changes` are of its `RunInfo`."""
        training = Training()
        writer = start(url, training, info(name, **changes))
        for step in range(1, self.steps + 1):
            record = training.advance()
            metrics = {
                **record.metrics,
                "spo/reward": self.reward(step),
                "spo/failed": self.failed(step),
                "spo/store/queue_depth": self.queue(step),
                "spo/store/disk_free_gb": self.free(step),
                "actor/entropy": self.entropy(step),
            }
            rewards = np.full(BATCH, self.reward(step))
            writer.submit(
                replace(
                    record,
                    observations=replace(record.observations, reward=rewards),
                    summary={**record.summary, "n_failed": int(self.failed(step))},
                    metrics=metrics,
                    time=self.ended_at(step),
                )
            )
        writer.flush()
        return writer

    def train(self, url: str, name: str = "demo/spo", status: Status = Status.FINISHED, **changes: Any) -> None:
        """Write the whole run."""
        self.write(url, name, **changes).close(status)


def after(step: int, value: float, before: float) -> Course:
    """A course that jumps after a step."""
    return lambda at: value if at > step else before


COLLAPSED = Story(reward=after(30, 0.05, 0.6), failed=after(40, 3, 0))
"""Its reward collapses, and later its requests begin to fail."""
