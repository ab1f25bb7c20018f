"""Every option of verl-spo, validated, in one frozen dataclass.

The same options with the same defaults stand in `recipes/spo/spo.yaml`, the Hydra group that users override
(`spo.retention=kl`); a test keeps the two equal. Sources: [SPO] arXiv 2509.13232, [SPO++] arXiv 2608.24870.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

from verl_spo.errors import ConfigError

# What SPO is called among verl's options: algorithm.adv_estimator and trainer.v1.trainer_mode.
ADVANTAGE_ESTIMATOR = "spo"
POLICY_LOSS = "spo"
TRAINER_MODES = ("spo_sync", "spo_colocate_async", "spo_separate_async")

BaselineKind = Literal["value", "optimal"]
RetentionKind = Literal["kl", "constant", "event", "drift"]
EventStep = Literal["scaled", "published"]
NormalizationKind = Literal["trajectory", "token", "none"]
SamplingKind = Literal["prioritized", "even", "uniform"]
InitKind = Literal["prior", "rollouts", "file", "run"]
OutOfRange = Literal["error", "clip"]


@dataclass(frozen=True)
class StoreConfig:
    """Where the history goes, and how much of it.

    Attributes:
        url: SQLAlchemy URL. A relative SQLite path is relative to the working directory, of `verl-spo train` where that
            starts the run.
        host: Machine that has the SQLite file; a trainer on another one refuses to start. `verl-spo train` sets its
            own. None: not checked.
        queue_steps: Steps that may wait in memory to be written before training waits too. At least 1.
        durability_timeout_s: Seconds that a checkpoint waits where neither the database nor its spool takes the
            history, before training stops; and that a run's end waits for the database. Above 0.
        rollout_fraction: Share of the trajectories whose text is kept, in [0, 1].
        rollout_budget_mb: MiB of compressed text that a run may keep; older texts make room. 0 keeps none.
    """

    url: str = "sqlite:///verl_spo.db"
    host: str | None = None
    queue_steps: int = 64
    durability_timeout_s: float = 120.0
    rollout_fraction: float = 0.02
    rollout_budget_mb: int = 256

    def __post_init__(self) -> None:
        _require("store.queue_steps", self.queue_steps, self.queue_steps >= 1, "at least 1")
        _require("store.durability_timeout_s", self.durability_timeout_s, self.durability_timeout_s > 0, "above 0")
        _require("store.rollout_fraction", self.rollout_fraction, 0 <= self.rollout_fraction <= 1, "in [0, 1]")
        _require("store.rollout_budget_mb", self.rollout_budget_mb, self.rollout_budget_mb >= 0, "at least 0")


@dataclass(frozen=True)
class SPOConfig:
    """SPO's options, beside verl's own.

    Attributes:
        baseline: What is subtracted from a reward: the `value` v_hat ([SPO] section 4) or the `optimal` baseline, which
            leaves the least variance in the gradient (core/baseline.py); normalization centres alike, so it cannot be
            `token`.
        retention: How evidence ages: `kl` ([SPO] section 4), `constant`, `event` ([SPO++] section 2.2) or `drift`.
        rho: Retention of one observation (`constant`) or of one policy event (`event`), in (0, 1].
        rho_min: Lowest retention of `kl` and `drift`, in (0, 1): window 1 / (1 - rho_min) observations.
        rho_max: Highest retention of `kl` and `drift`, in [rho_min, 1].
        d_half: Policy change, in nats per token, that halves the evidence. Above 0.
        event_step: Event time a publication adds: `scaled` by batch / pool, or as `published`.
        previous_tokens: Tokens of previous responses that `kl` keeps in memory to re-score; the stalest make room.
            At least 1.
        normalization: Of the advantages over a batch: `trajectory` ([SPO]), `token` ([SPO++] section 2.3) or `none`.
        sampling: `prioritized` ([SPO] section 4), `even` (as often, by turns) or `uniform`, over the whole pool.
        epsilon: Floor of a prompt's weight: exploration. At least 0.
        gamma: Exponent of N_eff in a prompt's weight, in [0, 1].
        value_range: Prompts whose v_hat lies outside are passed over while there are enough others. Within [0, 1].
        filter_min_n_eff: Evidence below which `value_range` does not pass over a prompt. At least 0.
        seed: Of the sampler's random numbers.
        identity_fields: Entries of `extra_info`, or columns, that make another prompt, beside source, messages, media,
            ground truth, agent and arguments of tools. None where nobody has said: rows that would get lost as
            repetitions of others, from which they differ in such an entry, are then an error if they are many.
        init: Where v_hat starts: `prior`, `rollouts` ([SPO] Alg. 2), `file` or `run`.
        prior: Value of the prior, in (0, 1).
        prior_n_eff: Evidence of the prior, in observations. Above 0.
        init_n_eff: Evidence N0 that an estimate starts with, in observations. Above 0.
        init_rollouts: Responses n0 a prompt for `init=rollouts`. At least 1.
        init_only: Stop after `init=rollouts`, before the first step (`verl-spo init-values`).
        init_file: JSON or parquet of scores per prompt for `init=file`.
        init_run: Name of the run whose tracker `init=run` starts from.
        branch_from: Folder `.../global_step_N` of another run's checkpoint, from which this run begins at step N + 1.
            Once it has a checkpoint of its own, a resume is verl's.
        reward_low: Reward that counts as 0.
        reward_high: Reward that counts as 1. Above reward_low.
        reward_out_of_range: A reward outside the two is an `error`, or counts as the nearer one: `clip`.
        reward_threshold: If set, rewards at or above it count as 1, others as 0 (in the reward's own unit).
        poll_interval_s: Seconds between two looks of verl's replay buffer (verl's own: 2.0). Above 0.
        weight_sync_timeout_s: Seconds after which a weight sync counts as failed. Above 0.
        store: Where the history goes.
    """

    baseline: BaselineKind = "value"
    retention: RetentionKind = "kl"
    rho: float = 0.875
    rho_min: float = 0.875
    rho_max: float = 0.96
    d_half: float = 0.06
    event_step: EventStep = "scaled"
    previous_tokens: int = 200_000_000
    normalization: NormalizationKind = "trajectory"
    sampling: SamplingKind = "prioritized"
    epsilon: float = 0.05
    gamma: float = 0.0
    value_range: tuple[float, float] = (0.0, 1.0)
    filter_min_n_eff: float = 4.0
    seed: int = 0
    identity_fields: tuple[str, ...] | None = None
    init: InitKind = "prior"
    prior: float = 0.5
    prior_n_eff: float = 1.0
    init_n_eff: float = 8.0
    init_rollouts: int = 8
    init_only: bool = False
    init_file: str | None = None
    init_run: str | None = None
    branch_from: str | None = None
    reward_low: float = 0.0
    reward_high: float = 1.0
    reward_out_of_range: OutOfRange = "error"
    reward_threshold: float | None = None
    poll_interval_s: float = 2.0
    weight_sync_timeout_s: float = 1800.0
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_baseline()
        self._check_retention()
        self._check_sampling()
        self._check_init()
        self._check_rewards()
        for name in ("poll_interval_s", "weight_sync_timeout_s"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")

    def _check_choices(self) -> None:
        for option in fields(self):
            if get_origin(option.type) is Literal:
                value, choices = getattr(self, option.name), get_args(option.type)
                _require(option.name, value, value in choices, f"one of {', '.join(choices)}")

    def _check_baseline(self) -> None:
        if self.baseline == "optimal" and self.normalization == "token":
            raise ConfigError(
                "spo.normalization='token': promises a mean of zero over tokens, but spo.baseline=optimal centres by "
                "squared gradient norms; set trajectory or none, or spo.baseline=value"
            )

    def _check_retention(self) -> None:
        _require("rho", self.rho, 0 < self.rho <= 1, "in (0, 1]")
        _require("rho_min", self.rho_min, 0 < self.rho_min < 1, "in (0, 1)")
        _require("rho_max", self.rho_max, self.rho_min <= self.rho_max <= 1, f"in [rho_min = {self.rho_min}, 1]")
        _require("d_half", self.d_half, self.d_half > 0, "above 0")
        _require("previous_tokens", self.previous_tokens, self.previous_tokens >= 1, "at least 1")

    def _check_sampling(self) -> None:
        low, high = self.value_range
        _require("epsilon", self.epsilon, self.epsilon >= 0, "at least 0")
        _require("gamma", self.gamma, 0 <= self.gamma <= 1, "in [0, 1]")
        _require("value_range", [low, high], 0 <= low < high <= 1, "two numbers 0 <= low < high <= 1")
        _require("filter_min_n_eff", self.filter_min_n_eff, self.filter_min_n_eff >= 0, "at least 0")
        _require("seed", self.seed, self.seed >= 0, "at least 0")

    def _check_init(self) -> None:
        _require("prior", self.prior, 0 < self.prior < 1, "in (0, 1)")
        for name in ("prior_n_eff", "init_n_eff"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        _require("init_rollouts", self.init_rollouts, self.init_rollouts >= 1, "at least 1")
        _require(
            "init_only", self.init_only, not self.init_only or self.init == "rollouts", "False unless init=rollouts"
        )
        _require("branch_from", self.branch_from, not (self.init_only and self.branch_from), "None with init_only")
        for source in ("file", "run"):
            name = f"init_{source}"
            _require(name, getattr(self, name), self.init != source or getattr(self, name), f"set when init={source}")

    def _check_rewards(self) -> None:
        low, high, threshold = self.reward_low, self.reward_high, self.reward_threshold
        _require("reward_high", high, high > low, f"above reward_low = {low}")
        _require("reward_threshold", threshold, threshold is None or low <= threshold <= high, f"in [{low}, {high}]")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON write them."""
        fields = None if self.identity_fields is None else list(self.identity_fields)
        return {**asdict(self), "value_range": list(self.value_range), "identity_fields": fields}

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "SPOConfig":
        """Parse the `spo` group.

        Raises:
            ConfigError: An option is unknown, of the wrong type, or out of range.
        """
        given = dict(options)
        store = given.pop("store", None) or {}
        if not isinstance(store, Mapping):
            raise ConfigError(
                f"spo.store={store!r}: must be a group of options, such as spo.store.url=sqlite:///runs.db"
            )
        return cls(**_typed(cls, given, "spo"), store=StoreConfig(**_typed(StoreConfig, store, "spo.store")))


@dataclass(frozen=True)
class EvaluationConfig:
    """What `verl-spo evaluate` asks of its trainer: the `evaluation` group.

    Attributes:
        model: Name or folder of the model, for people.
        samples: Per problem. At least 1.
        run: Name of the run that the policy is of; None for a model of no run.
        attempt: Of that run, that the policy is of.
        step: Of the policy; 0 before training, and of a model of no run.
        in_flight: Samples that are asked for at a time. At least 1.
    """

    model: str = ""
    samples: int = 32
    run: str | None = None
    attempt: int = 0
    step: int = 0
    in_flight: int = 1024

    def __post_init__(self) -> None:
        for name in ("samples", "in_flight"):
            if getattr(self, name) < 1:
                raise ConfigError(f"evaluation.{name}={getattr(self, name)}: must be at least 1")

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "EvaluationConfig":
        """Parse the `evaluation` group.

        Raises:
            ConfigError: An option is unknown, of the wrong type, or out of range.
        """
        return cls(**_typed(cls, options, "evaluation"))


def _require(name: str, value: object, holds: object, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"spo.{name}={value!r}: must be {remedy}")


def _typed(cls: type, given: Mapping[str, Any], group: str) -> dict[str, Any]:
    types = {f.name: f.type for f in fields(cls) if f.name != "store"}
    if unknown := sorted(set(given) - set(types)):
        raise ConfigError(f"{group}.{unknown[0]}: no such option; there are {', '.join(sorted(types))}")
    return {name: _cast(value, types[name], f"{group}.{name}") for name, value in given.items()}


def _cast(value: Any, kind: Any, name: str) -> Any:
    if value is None and kind in (str | None, float | None, tuple[str, ...] | None):
        return None
    if kind == tuple[str, ...] | None:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}={value!r}: must be a list of names, such as [seed]")
        return tuple(_cast(item, str, name) for item in value)
    if kind == tuple[float, float]:
        if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
            raise ConfigError(f"{name}={value!r}: must be two numbers, such as [0.05, 0.95]")
        return tuple(_cast(item, float, name) for item in value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in (float, float | None) and number and math.isfinite(value):
        return float(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and number and float(value).is_integer():
        return int(value)
    if (kind in (str, str | None) or get_origin(kind) is Literal) and isinstance(value, str):
        return value
    raise ConfigError(f"{name}={value!r}: must be of type {getattr(kind, '__name__', kind)}")
