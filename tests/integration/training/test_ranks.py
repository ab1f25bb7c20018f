"""SPO on two data-parallel ranks of real verl."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import small
from verl_spo.store import open_reader, queries

pytestmark = pytest.mark.verl


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
    steps = ("trainer.total_training_steps=3", "trainer.save_freq=-1", "spo.retention=kl")
    for ranks in (1, 2):
        options = (f"trainer.n_gpus_per_node={ranks}", "actor_rollout_ref.actor.ppo_mini_batch_size=16")
        train(f"ranks-{ranks}", *small.TWO_RANKS, *steps, *options)
    one, two = (changes(run_dir, f"arithmetic/ranks-{ranks}") for ranks in (1, 2))
    assert min(one.values()) > 0
    assert two == pytest.approx(one, rel=1e-3, abs=1e-5)


def test_drift_is_measured_on_two_ranks(validated: Path) -> None:
    with open_reader(f"sqlite:///{validated}/verl_spo.db") as reader:
        run_id = queries.run(reader, "arithmetic/validated").run.id
        page = queries.metric_series(reader, [run_id], ["spo/drift", "actor/log_ratio_noise"])
    series = {each.name: each.values for each in page.series}
    assert len(series["spo/drift"]) == 2
    assert series["spo/drift"].min() > 1e-4
    # Both ranks' first mini-batches are scored by the policy that nothing has changed yet.
    assert series["actor/log_ratio_noise"].max() < 1e-5
