"""Two data-parallel ranks and micro-batches of a fixed size, verl's default, on real verl and real vLLM."""

from collections.abc import Callable
from pathlib import Path

import pytest

from verl_spo.store import open_reader, queries

pytestmark = pytest.mark.verl

MICRO_BATCHES = (
    "actor_rollout_ref.actor.use_dynamic_bsz=False",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    "trainer.save_freq=-1",
)


def changes(run_dir: Path, run: str) -> dict[tuple[int, int], float]:
    """D of each revisit, by step and prompt."""
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, run).run.id
        return {
            (row.step, row.prompt_id): row.policy_change
            for prompt in queries.prompts(reader, run_id, limit=1000).rows
            for row in queries.prompt_history(reader, run_id, prompt.prompt_id)
            if row.policy_change is not None
        }


@pytest.mark.long
def test_kl_measures_on_two_ranks_what_it_measures_on_one(run_dir: Path, train: Callable[..., int]) -> None:
    # One mini-batch a step: of two, each rank would make its own, and so other ones.
    options = ("trainer.total_training_steps=3", "actor_rollout_ref.actor.ppo_mini_batch_size=16", "spo.retention=kl")
    for ranks in (1, 2):
        train(f"ranks-{ranks}", f"trainer.n_gpus_per_node={ranks}", *options, *MICRO_BATCHES)
    one, two = (changes(run_dir, f"arithmetic/ranks-{ranks}") for ranks in (1, 2))
    assert min(one.values()) > 0
    assert two == pytest.approx(one, rel=1e-3, abs=1e-5)


def test_drift_is_measured_on_two_ranks(run_dir: Path, train: Callable[..., int]) -> None:
    options = ("trainer.total_training_steps=2", "trainer.n_gpus_per_node=2", "spo.retention=drift")
    train("drift", *options, *MICRO_BATCHES)
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, "arithmetic/drift").run.id
        page = queries.metric_series(reader, [run_id], ["spo/drift", "actor/log_ratio_noise"])
    series = {each.name: each.values for each in page.series}
    assert len(series["spo/drift"]) == 2
    assert series["spo/drift"].min() > 1e-4
    # Both ranks' first mini-batches are scored by the policy that nothing has changed yet.
    assert series["actor/log_ratio_noise"].max() < 1e-5
