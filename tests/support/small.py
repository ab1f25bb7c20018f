"""The demo's recipe on a problem small enough for a test."""

RECIPE = "cpu/arithmetic_spo"
LAST = 10
"""Steps of a run that is killed on the way: more than the kills need, for on a busy machine each is some steps late."""
OVERRIDES = (
    "data.train_batch_size=16",
    "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "trainer.test_freq=-1",
    "trainer.val_before_train=False",
)
TWO_RANKS = (
    "trainer.n_gpus_per_node=2",
    "actor_rollout_ref.actor.use_dynamic_bsz=False",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
)
"""Two data-parallel ranks, and micro-batches of a fixed size, which is verl's default."""
