"""Options that contradict each other are refused, and the message says what would be right."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training import preflight

SEPARATE = ("trainer.v1.trainer_mode=spo_separate_async", "trainer.v1.separate_async.parameter_sync_step=2")


def test_the_recipe_passes_as_it_is(demo_dir: Path) -> None:
    preflight.check(configure(demo_dir))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["spo.epsilon=-1"], "spo.epsilon=-1.0: must be at least 0"),
        (["spo.retention=forever"], "spo.retention='forever'"),
        (["trainer.use_v1=False"], "trainer.use_v1=False"),
        (["trainer.v1.trainer_mode=sync"], "trainer.v1.trainer_mode='sync': must be one of spo_sync"),
        (["algorithm.adv_estimator=grpo"], "algorithm.adv_estimator='grpo'"),
        (
            ["actor_rollout_ref.rollout.n=8"],
            "actor_rollout_ref.rollout.n=8: SPO samples one response per prompt; set 1",
        ),
        (["algorithm.use_kl_in_reward=True"], "algorithm.use_kl_in_reward=True"),
        (["algorithm.filter_groups.enable=True"], "algorithm.filter_groups.enable=True"),
        (
            ["spo.retention=drift", "actor_rollout_ref.actor.policy_loss.loss_mode=vanilla"],
            "actor_rollout_ref.actor.policy_loss.loss_mode='vanilla'",
        ),
        (
            ["spo.retention=drift", "actor_rollout_ref.actor.ppo_mini_batch_size=128"],
            "actor_rollout_ref.actor.ppo_mini_batch_size=128: spo.retention=drift needs at least 2 updates a step; "
            "set at most 64",
        ),
        (
            ["trainer.v1.trainer_mode=spo_separate_async", "trainer.v1.separate_async.parameter_sync_step=4"],
            "data.train_batch_size=128: trainer.v1.trainer_mode=spo_separate_async trains on "
            "trainer.v1.separate_async.parameter_sync_step=4 parts of actor_rollout_ref.actor.ppo_mini_batch_size=64 "
            "prompts; set 256",
        ),
        (
            list(SEPARATE),
            "actor_rollout_ref.rollout.nnodes=0: trainer.v1.trainer_mode=spo_separate_async generates on devices of "
            "its own; set at least 1",
        ),
        (
            [*SEPARATE, "actor_rollout_ref.rollout.nnodes=1"],
            "actor_rollout_ref.rollout.checkpoint_engine.backend=naive: trainer.v1.trainer_mode=spo_separate_async",
        ),
        (
            ["critic.enable=True"],
            "critic.enable=True: SPO has no critic, and nothing would read what it learns; set null",
        ),
        (
            ["skip.rollout_tq.enable=True"],
            "skip.rollout_tq.enable=True: saved responses would count as answers to other prompts than theirs; set F",
        ),
        (
            ["distillation.enabled=True", "distillation.distillation_loss.use_task_rewards=False"],
            "distillation.distillation_loss.use_task_rewards=False: the loss would leave rewards, and so SPO, out",
        ),
        (["trainer.critic_warmup=5"], "trainer.critic_warmup=5: SPO has no critic to warm up; set 0"),
        (
            ["algorithm.rollout_correction.rollout_rs=seq_mean_k1"],
            "algorithm.rollout_correction.rollout_rs='seq_mean_k1': what it rejects would be no evidence",
        ),
        (
            ["algorithm.rollout_correction.bypass_mode=True"],
            "algorithm.rollout_correction.bypass_mode=True: spo.retention=kl compares log-probs",
        ),
        (
            ["algorithm.rollout_correction.bypass_mode=True", "spo.retention=event", "spo.baseline=optimal"],
            "algorithm.rollout_correction.bypass_mode=True: spo.baseline=optimal compares log-probs",
        ),
        (
            ["spo.init=rollouts", "reward.reward_model.enable=True"],
            "reward.reward_model.enable_resource_pool=False: spo.init=rollouts wants rewards while it generates",
        ),
    ],
)
def test_contradicting_options_are_refused(demo_dir: Path, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight.check(configure(demo_dir, *overrides))
    assert expected in str(caught.value)


def test_an_unknown_option_is_refused(demo_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"spo\.epsilom: no such option"):
        preflight.check(configure(demo_dir, "spo.epsilom=0.1"))


@pytest.mark.parametrize(
    "overrides",
    [
        ["distillation.enabled=True"],
        ["actor_rollout_ref.actor.use_kl_loss=True"],
        ["algorithm.rollout_correction.rollout_is=token"],
        ["trainer.v1.sampler.sync_refill_failed_groups=True"],
        ["actor_rollout_ref.actor.ppo_epochs=2", "actor_rollout_ref.actor.shuffle=True"],
        ["spo.retention=event", "algorithm.rollout_correction.bypass_mode=True"],
    ],
)
def test_what_goes_with_spo_passes(demo_dir: Path, overrides: list[str]) -> None:
    preflight.check(configure(demo_dir, *overrides))
