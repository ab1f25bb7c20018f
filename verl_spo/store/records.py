"""What goes into the store: plain values and numpy arrays, of which a record makes copies that do not change."""

import time as clock_of_day
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verl_spo.errors import StoreError
from verl_spo.store.text import Part

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
        parts: The response's parts, where it has several and the text is kept.
        finish: How the session ended, STOP or LENGTH; None where that is not known.
        seconds: That the session generated and waited for tools; NaN where that is not known. Empty: nowhere.
        turns: Messages that the model wrote in the session; -1 where that is not known. Empty: nowhere.
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
    parts: Sequence[Sequence[Part] | None] | None = None
    finish: Sequence[str | None] | None = None
    seconds: FloatArray = field(default_factory=lambda: np.empty(0))
    turns: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        for name, unknown in (("seconds", np.nan), ("turns", -1)):
            if not np.size(getattr(self, name)):
                object.__setattr__(self, name, np.full(np.size(self.slot), unknown))
        _own_arrays(self)
        for name in ("uid", "prompt_text", "response_text", "parts", "finish"):
            texts = getattr(self, name)
            if texts is not None:
                _check_length(self, name, len(texts), len(self))
                object.__setattr__(self, name, list(texts))
        if unknown_ends := set(self.finish or ()) - {None, Finish.STOP, Finish.LENGTH}:
            raise StoreError(f"Observations.finish: {sorted(map(str, unknown_ends))}; must be stop, length or None")

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


class Origin(StrEnum):
    """Where an evaluation comes from."""

    VALIDATION = "validation"
    """verl's, of a run while it trains."""
    EVALUATION = "evaluation"
    """`verl-spo evaluate`."""


class Finish(StrEnum):
    """How a sample ended."""

    STOP = "stop"
    """The model ended it."""
    LENGTH = "length"
    """It was cut off where `data.max_response_length` ends."""
    FAILED = "failed"
    """Its session failed: there is no answer, which counts as a wrong one."""


@dataclass(frozen=True)
class Samples:
    """Answers to a benchmark's problems, (n,) each; at most one of a place and sample number.

    Attributes:
        place: Of the problem in the benchmark, from 0.
        sample: Among the problem's samples, from 0.
        length: Tokens that the model generated.
        seed: Of the sampler; -1 where it was given none.
        policy_version: Of the weights that generated it.
        reward: Of the recipe's own reward function, in [0, 1]; NaN where there is none.
        finish: How it ended.
        found: The answer that the reward function found; empty if none.
        prompt_text: As the model read it; None where the text is not kept.
        response_text: As the model wrote it; likewise.
    """

    place: IntArray
    sample: IntArray
    length: IntArray
    seed: IntArray
    policy_version: IntArray
    reward: FloatArray
    finish: Sequence[str]
    found: Sequence[str]
    prompt_text: Sequence[str | None]
    response_text: Sequence[str | None]

    def __post_init__(self) -> None:
        _own_arrays(self)
        for name in ("finish", "found", "prompt_text", "response_text"):
            _check_length(self, name, len(getattr(self, name)), len(self))
            object.__setattr__(self, name, list(getattr(self, name)))
        object.__setattr__(self, "finish", [Finish(each) for each in self.finish])

    def __len__(self) -> int:
        return self.place.size


@dataclass(frozen=True)
class EvaluationInfo:
    """One policy on one benchmark.

    Attributes:
        benchmark: Its name.
        problems: In order. Other ground truths make another evaluation.
        wanted: Samples per problem.
        step: Of the policy; 0 before training, and of a model of no run.
        model: Name or folder of the model; of a run, the one that it trains from.
        origin: Where the evaluation comes from.
        settings: How it is sampled, as JSON values.
    """

    benchmark: str
    problems: Sequence[PromptRecord]
    wanted: int
    step: int
    model: str
    origin: Origin
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", Origin(self.origin))


@dataclass(frozen=True)
class EvaluationRecord:
    """Samples of an evaluation, all or some; `time` is when they were there, seconds since the epoch."""

    evaluation: EvaluationInfo
    samples: Samples
    time: float = field(default_factory=clock_of_day.time)


@dataclass(frozen=True)
class Verdicts:
    """What a scorer says of samples, (n,) each.

    Attributes:
        place: Of the problem.
        sample: Of the sample.
        score: In [0, 1].
        found: The answer in the response; empty if there is none.
        vote: The same for equal answers to a problem; empty abstains.
        failed: Whether there was no judgement.
    """

    place: Sequence[int]
    sample: Sequence[int]
    score: Sequence[float]
    found: Sequence[str]
    vote: Sequence[str]
    failed: Sequence[bool]


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
