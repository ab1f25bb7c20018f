"""Recipes without SPO: an estimator of groups needs some."""

from omegaconf import DictConfig

from verl_spo.errors import ConfigError

# verl's estimators that compare responses to the same prompt (verl/trainer/ppo/core_algos.py:267-990).
ESTIMATORS = (
    "gdpo",
    "gpg",
    "grpo",
    "grpo_passk",
    "grpo_vectorized",
    "opo",
    "optimal_token_baseline",
    "reinforce_plus_plus_baseline",
    "rloo",
    "rloo_vectorized",
    "tir_optimal_token_baseline",
)


def check(config: DictConfig) -> None:
    """Refuse groups of one: what is left of the advantage is the reward without a baseline of its prompt, or nothing.

    Raises:
        ConfigError: There is one response per prompt.
    """
    estimator, responses = config.algorithm.adv_estimator, config.actor_rollout_ref.rollout.n
    if estimator in ESTIMATORS and responses < 2:
        raise ConfigError(
            f"actor_rollout_ref.rollout.n={responses}: algorithm.adv_estimator={estimator} compares the responses to a "
            "prompt, and there is one; set at least 2, or train with SPO (algorithm.adv_estimator=spo "
            "trainer.v1.trainer_mode=spo_sync +spo=spo)"
        )
