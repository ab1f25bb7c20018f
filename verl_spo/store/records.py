"""What goes into the store: plain values and numpy arrays, of which a record makes copies that do not change."""

import time as clock_of_day
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verl_spo.errors import StoreError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_DTYPES: dict[Any, type[np.generic]] = {FloatArray: np.float64, IntArray: np.int64}


@dataclass(frozen=True)
class Parent:
    """The run that another one branched from: its identity, its name then, and the step of the checkpoint."""

    uid: str
    name: str
    step: int


@dataclass(frozen=True)
class RunInfo:
    """Who a run is. Passwords in it are hidden before they are stored.

    Attributes:
        name: Unique in the database.
        config: The whole configuration, as JSON values.
        versions: Package names and their versions.
        git: State of the working directory's repository, None outside one.
        host: Where it runs.
        pool_digest: Identity of the prompt pool.
        uid: Hex identity of the run, the same in its checkpoints.
        parent: Where it branched from, None if it began by itself.
        starter: The launcher that starts it, None where nobody registered it (`runs/starts.py`).
    """

    name: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    git: Mapping[str, Any] | None
    host: str
    pool_digest: bytes
    uid: str
    parent: Parent | None = None
    starter: str | None = None

    @property
    def begins_after(self) -> int:
        """The step before its first one."""
        return self.parent.step if self.parent else 0


@dataclass(frozen=True)
class PromptRecord:
    """A prompt of the pool: its 16-byte digest, its source, its chat messages (JSON values) and the ground truth."""

    digest: bytes
    data_source: str
    messages: Sequence[Mapping[str, Any]]
    ground_truth: str


@dataclass(frozen=True)
class TrackerRows:
    """The value tracker's state of some slots of the pool, (n,) each. A slot occurs once."""

    slots: IntArray
    alpha: FloatArray
    beta: FloatArray
    z: FloatArray
    visits: IntArray
    last_step: IntArray

    def __post_init__(self) -> None:
        _own_arrays(self)


@dataclass(frozen=True)
class Observations:
    """A step's finished trajectories, (n,) each.

    Attributes:
        slot: Of the prompt, in the pool.
        policy_version: Of the weights that generated it; 0 is the initial policy.
        reward: In [0, 1].
        baseline: v_hat of the prompt, frozen at dispatch.
        advantage: After normalization.
        rho: Retention that was applied.
        policy_change: D, nats per token; NaN where there is none.
        alpha: The tracker's state of the prompt after the step.
        beta: Likewise.
        response_length: Tokens that the model generated.
        uid: Of the request.
        prompt_text: As the model read it; None where the text is not kept.
        response_text: As the model wrote it; likewise.
    """

    slot: IntArray
    policy_version: IntArray
    reward: FloatArray
    baseline: FloatArray
    advantage: FloatArray
    rho: FloatArray
    policy_change: FloatArray
    alpha: FloatArray
    beta: FloatArray
    response_length: IntArray
    uid: Sequence[str]
    prompt_text: Sequence[str | None] | None = None
    response_text: Sequence[str | None] | None = None

    def __post_init__(self) -> None:
        _own_arrays(self)
        for name in ("uid", "prompt_text", "response_text"):
            texts = getattr(self, name)
            if texts is not None:
                _check_length(self, name, len(texts), len(self))
                object.__setattr__(self, name, list(texts))

    def __len__(self) -> int:
        return self.slot.size


@dataclass(frozen=True)
class StepRecord:
    """All that one training step leaves behind.

    Attributes:
        step: verl's global step; 1 is the first.
        clock: Event time after the step; 0 for retention by visits.
        observations: The step's trajectories.
        tracker: State of the prompts that the step touched, after it.
        summary: `value_histogram` (counts of v_hat over the whole pool) and further JSON values.
        metrics: Name and value.
        time: When it ended, seconds since the epoch.
    """

    step: int
    clock: float
    observations: Observations
    tracker: TrackerRows
    summary: Mapping[str, Any]
    metrics: Mapping[str, float]
    time: float = field(default_factory=clock_of_day.time)


@dataclass(frozen=True)
class MetricsRecord:
    """Metrics of a step that come apart from its observations."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class InitScores:
    """Scores from before training: of `slots` (n,), how many `responses` and the sum of their rewards in [0, 1]."""

    slots: IntArray
    responses: IntArray
    reward_sum: FloatArray

    def __post_init__(self) -> None:
        _own_arrays(self)


@dataclass(frozen=True)
class EvaluationRecord:
    """One benchmark's result at a step.

    Attributes:
        step: Training step of the evaluated policy.
        benchmark: Its name.
        metric: Such as `avg@32`.
        value: The result.
        samples: Responses that it rests on.
        low: Lower end of its confidence interval, if known.
        high: Upper end.
        details: Further JSON values.
        time: When it ended, seconds since the epoch.
    """

    step: int
    benchmark: str
    metric: str
    value: float
    samples: int
    low: float | None = None
    high: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=clock_of_day.time)


Record = StepRecord | MetricsRecord | InitScores | EvaluationRecord


def array_fields(kind: type) -> dict[str, type[np.generic]]:
    """Names and types of a record's arrays, in order."""
    return {f.name: _DTYPES[f.type] for f in fields(kind) if f.type in _DTYPES}


def _own_arrays(record: Any) -> None:
    """Replace a record's arrays by copies that nobody can change.

    One joined copy, since numpy's own would let go of the interpreter once an array, and the trainer would wait for
    the writer's thread as often.
    """
    dtypes = array_fields(type(record))
    arrays = {name: np.ascontiguousarray(getattr(record, name), dtype).reshape(-1) for name, dtype in dtypes.items()}
    data, offset = b"".join(array.data for array in arrays.values()), 0
    first = next(iter(arrays.values()))
    for name, array in arrays.items():
        _check_length(record, name, array.size, first.size)
        object.__setattr__(record, name, np.frombuffer(data, array.dtype, array.size, offset))
        offset += array.nbytes


def _check_length(record: Any, name: str, got: int, wanted: int) -> None:
    if got != wanted:
        first = fields(record)[0].name
        raise StoreError(f"{type(record).__name__}.{name}: has {got} entries, but {first} has {wanted}")
