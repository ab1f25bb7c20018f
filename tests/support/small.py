"""The demo's recipe on a problem small enough for a test."""

RECIPE = "cpu/arithmetic_spo"
OVERRIDES = (
    "data.train_batch_size=16",
    "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "trainer.test_freq=-1",
    "trainer.val_before_train=False",
)
