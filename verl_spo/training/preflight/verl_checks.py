"""What verl itself would refuse, and its registries: it takes a worker, or minutes, to find an unknown policy loss."""

import contextlib
import io
import warnings
from importlib.metadata import distributions
from typing import Any

from omegaconf import DictConfig, open_dict

from verl_spo.errors import ConfigError

_GROUPS = (
    "algorithm",
    "actor_rollout_ref.actor",
    "actor_rollout_ref.rollout",
    "actor_rollout_ref.rollout.checkpoint_engine",
)
# What the reference policy's worker renames in its group first (verl/workers/engine_workers.py:546).
_RENAMED = {
    "log_prob_micro_batch_size": "ppo_micro_batch_size",
    "log_prob_micro_batch_size_per_gpu": "ppo_micro_batch_size_per_gpu",
    "log_prob_use_dynamic_bsz": "use_dynamic_bsz",
    "log_prob_max_token_len_per_gpu": "ppo_max_token_len_per_gpu",
}


def check(config: DictConfig) -> str | None:
    """Look up the estimator and the policy loss, and run verl's validate_config.

    Returns:
        Why the latter did not run; None where it did.

    Raises:
        ConfigError: verl refuses the recipe, or does not know a name.
    """
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    _check_registered(config)
    if config.actor_rollout_ref.model.lora_rank > 0 and not any(distributions(name="vllm")):
        return "verl's validate_config of LoRA asks vLLM, which is not installed here, or as the build for CPUs"
    with _quiet():
        _refusing("verl's validate_config", validate_config, config, need_reference_policy(config), need_critic(config))
    return None


def check_groups(config: DictConfig) -> None:
    """Make verl's dataclasses of its groups, as its workers do.

    Raises:
        ConfigError: A group has an option of the wrong type or an impossible value.
    """
    from verl.utils.config import omega_conf_to_dataclass

    with _quiet():
        for name in _GROUPS:
            _refusing(name, omega_conf_to_dataclass, config_of(config, name))
        _refusing("actor_rollout_ref.ref", omega_conf_to_dataclass, _reference(config))


def config_of(config: DictConfig, name: str) -> Any:
    """A group by its dotted name."""
    for part in name.split("."):
        config = config[part]
    return config


def _reference(config: DictConfig) -> DictConfig:
    group: DictConfig = config.actor_rollout_ref.ref.copy()
    # Interpolations of a copy without its parents would have nothing to point at.
    group._set_parent(config.actor_rollout_ref)
    with open_dict(group):
        group.ppo_mini_batch_size = config.actor_rollout_ref.actor.ppo_mini_batch_size
        for ours, theirs in _RENAMED.items():
            group[theirs] = group.pop(ours, None)
    return group


def _check_registered(config: DictConfig) -> None:
    """A module of the user's may register names of its own, in the workers that load it."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY

    if config.actor_rollout_ref.model.external_lib:
        return
    loss = config.actor_rollout_ref.actor.policy_loss.loss_mode
    for option, name, known in (
        ("algorithm.adv_estimator", config.algorithm.adv_estimator, ADV_ESTIMATOR_REGISTRY),
        ("actor_rollout_ref.actor.policy_loss.loss_mode", loss, POLICY_LOSS_REGISTRY),
    ):
        if name not in known:
            names = ", ".join(sorted(str(getattr(each, "value", each)) for each in known))
            raise ConfigError(f"{option}={name!r}: verl does not know it; there are {names}")


def _refusing(what: str, check: Any, *arguments: Any) -> None:
    """Call a check of verl's, which fails by whatever error it likes, and by assertions."""
    try:
        check(*arguments)
    except Exception as error:
        raise ConfigError(f"{what}: {_innermost(error)}") from error


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip() or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Any:
    """Without what verl prints of passing checks."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
