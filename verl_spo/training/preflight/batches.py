"""Batches, mini-batches and micro-batches: what divides what.

verl finds most of this at the first update; a mini-batch above the batch it accepts under dynamic batching, and fills
it up with empty rows.
"""

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import parallelism

_ACTOR = "actor_rollout_ref.actor"


def check(config: DictConfig) -> None:
    """Hold batches against each other and against the data-parallel ranks.

    Raises:
        ConfigError: One does not divide another.
    """
    actor, batch = config.actor_rollout_ref.actor, config.data.train_batch_size
    mini, responses = actor.ppo_mini_batch_size, config.actor_rollout_ref.rollout.n
    if batch % mini:
        raise ConfigError(
            f"{_ACTOR}.ppo_mini_batch_size={mini}: does not divide data.train_batch_size={batch}, and verl would fill "
            "the last mini-batch with empty rows; set a divisor"
        )
    ranks = parallelism.of(config).data
    if ranks and mini * responses % ranks:
        raise ConfigError(
            f"{_ACTOR}.ppo_mini_batch_size={mini}: its {mini * responses} responses cannot be divided among {ranks} "
            "data-parallel ranks; set a multiple"
        )
    if not actor.use_dynamic_bsz and ranks:
        _check_micro_batch("actor.ppo", actor.ppo_micro_batch_size_per_gpu, mini * responses // ranks, "mini-batch")
        _check_log_probs(config, ranks)


def _check_log_probs(config: DictConfig, ranks: int) -> None:
    """Of the whole batch, or of a part of it that came in alone, which is a mini-batch."""
    rollout, correction = config.actor_rollout_ref.rollout, config.algorithm.get("rollout_correction") or {}
    if correction.get("bypass_mode", False):
        return
    separate = parallelism.is_separate(config)
    prompts = config.actor_rollout_ref.actor.ppo_mini_batch_size if separate else config.data.train_batch_size
    rows = prompts * rollout.n // ranks
    _check_micro_batch("rollout.log_prob", rollout.log_prob_micro_batch_size_per_gpu, rows, "batch")


def _check_micro_batch(whose: str, micro: int | None, rows: int, what: str) -> None:
    if micro is not None and rows % micro:
        raise ConfigError(
            f"actor_rollout_ref.{whose}_micro_batch_size_per_gpu={micro}: does not divide the {rows} responses of a "
            f"{what} on a rank; set a divisor, or {_ACTOR}.use_dynamic_bsz=True"
        )
