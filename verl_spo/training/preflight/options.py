"""verl's options against SPO's: which contradict each other."""

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import ADVANTAGE_ESTIMATOR, POLICY_LOSS, TRAINER_MODES, SPOConfig
from verl_spo.errors import ConfigError

_OFF = {
    "algorithm.use_kl_in_reward": (
        "the value tracker estimates success, not reward less KL; set False "
        "(actor_rollout_ref.actor.use_kl_loss=True keeps the policy near the reference)"
    ),
    "algorithm.filter_groups.enable": "SPO has no groups; set False (spo.value_range passes over prompts)",
    "critic.enable": "SPO has no critic, and nothing would read what it learns; set null",
    # verl/utils/skip/rollout_skip.py: saved responses go to the new prompts in the order in which they come.
    "skip.rollout_tq.enable": "saved responses would count as answers to other prompts than theirs; set False",
}


def check(config: DictConfig, spo: SPOConfig) -> None:
    """Refuse what cannot go together.

    Raises:
        ConfigError: Options contradict each other.
    """
    _check_mode(config)
    _check_algorithm(config)
    _check_separate(config)
    _check_rejection(config)
    _check_old_log_probs(config, spo)
    _check_drift(config, spo)


def _check_mode(config: DictConfig) -> None:
    mode, advantages = config.trainer.v1.trainer_mode, config.algorithm.adv_estimator
    if not config.trainer.use_v1:
        raise ConfigError("trainer.use_v1=False: SPO plugs into verl's V1 trainer; set trainer.use_v1=True")
    if mode not in TRAINER_MODES:
        raise ConfigError(f"trainer.v1.trainer_mode={mode!r}: must be one of {', '.join(TRAINER_MODES)}")
    if advantages != ADVANTAGE_ESTIMATOR:
        raise ConfigError(
            f"algorithm.adv_estimator={advantages!r}: trainer.v1.trainer_mode={mode} computes SPO's; set spo"
        )


def _check_algorithm(config: DictConfig) -> None:
    responses, warmup = config.actor_rollout_ref.rollout.n, config.trainer.critic_warmup
    if responses != 1:
        raise ConfigError(f"actor_rollout_ref.rollout.n={responses}: SPO samples one response per prompt; set 1")
    if warmup > 0:
        raise ConfigError(f"trainer.critic_warmup={warmup}: SPO has no critic to warm up; set 0")
    for option, why in _OFF.items():
        if OmegaConf.select(config, option):
            raise ConfigError(f"{option}=True: {why}")
    distillation = config.distillation
    if distillation.enabled and not distillation.distillation_loss.use_task_rewards:
        raise ConfigError(
            "distillation.distillation_loss.use_task_rewards=False: the loss would leave rewards, and so SPO, out; set "
            "True, or train without SPO"
        )


def _check_separate(config: DictConfig) -> None:
    """verl checks this too, in a worker (trainer_separate_async.py:60)."""
    if config.trainer.v1.trainer_mode != "spo_separate_async":
        return
    parts = config.trainer.v1.separate_async.parameter_sync_step
    mini_batch = config.actor_rollout_ref.actor.ppo_mini_batch_size
    if config.data.train_batch_size != parts * mini_batch:
        raise ConfigError(
            f"data.train_batch_size={config.data.train_batch_size}: trainer.v1.trainer_mode=spo_separate_async trains "
            f"on trainer.v1.separate_async.parameter_sync_step={parts} parts of "
            f"actor_rollout_ref.actor.ppo_mini_batch_size={mini_batch} prompts; set {parts * mini_batch}"
        )
    _check_separate_rollout(config.actor_rollout_ref.rollout)


def _check_separate_rollout(rollout: DictConfig) -> None:
    backend = rollout.checkpoint_engine.backend
    for option, value, holds, remedy in (
        ("nnodes", rollout.nnodes, rollout.nnodes >= 1, "at least 1"),
        ("n_gpus_per_node", rollout.n_gpus_per_node, rollout.n_gpus_per_node >= 1, "at least 1"),
        ("checkpoint_engine.backend", backend, backend != "naive", "nccl or another that reaches other devices"),
    ):
        if not holds:
            raise ConfigError(
                f"actor_rollout_ref.rollout.{option}={value}: trainer.v1.trainer_mode=spo_separate_async generates on "
                f"devices of its own; set {remedy}"
            )


def _check_rejection(config: DictConfig) -> None:
    """verl cuts rejected tokens out of the mask before it asks for advantages (trainer_base.py:1770)."""
    correction = config.algorithm.get("rollout_correction")
    if correction and (rejection := correction.get("rollout_rs")):
        raise ConfigError(
            f"algorithm.rollout_correction.rollout_rs={rejection!r}: what it rejects would be no evidence of its "
            "prompt, whose value would be that of the responses it keeps; set null (rollout_is=token or sequence "
            "weighs instead)"
        )


def _check_old_log_probs(config: DictConfig, spo: SPOConfig) -> None:
    """In verl's bypass mode they are the rollout engine's, of whatever policy generated (trainer_base.py:1640)."""
    correction = config.algorithm.get("rollout_correction")
    if not (correction and correction.get("bypass_mode", False)):
        return
    for option, value in (("retention", spo.retention), ("baseline", spo.baseline)):
        if value in ("kl", "drift", "optimal"):
            raise ConfigError(
                f"algorithm.rollout_correction.bypass_mode=True: spo.{option}={value} compares log-probs of the "
                "trainer's policy, which this mode leaves out; set False, or spo.retention=event and spo.baseline=value"
            )


def _check_drift(config: DictConfig, spo: SPOConfig) -> None:
    if spo.retention != "drift":
        return
    actor, batch = config.actor_rollout_ref.actor, config.data.train_batch_size
    if actor.policy_loss.loss_mode != POLICY_LOSS:
        raise ConfigError(
            f"actor_rollout_ref.actor.policy_loss.loss_mode={actor.policy_loss.loss_mode!r}: spo.retention=drift reads "
            f"the policy's change from the loss; set {POLICY_LOSS} (verl's PPO-clip and that measurement)"
        )
    if batch // actor.ppo_mini_batch_size * actor.ppo_epochs < 2:
        raise ConfigError(
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size}: spo.retention=drift needs at "
            f"least 2 updates a step; set at most {batch // 2} (data.train_batch_size={batch}), or spo.retention=event"
        )
