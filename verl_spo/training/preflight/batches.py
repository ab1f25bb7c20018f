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
        _check_micro_batch(actor, mini * responses // ranks)


def _check_micro_batch(actor: DictConfig, rows: int) -> None:
    micro = actor.ppo_micro_batch_size_per_gpu
    if micro is not None and rows % micro:
        raise ConfigError(
            f"{_ACTOR}.ppo_micro_batch_size_per_gpu={micro}: does not divide the {rows} responses of a mini-batch on a "
            f"rank; set a divisor, or {_ACTOR}.use_dynamic_bsz=True"
        )
