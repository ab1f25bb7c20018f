"""A user's own model, data set class and reward, on real verl and real vLLM."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import own
from verl_spo.store import open_reader, queries

pytestmark = pytest.mark.verl

# The Llama has 128 positions.
SHORT = (
    "data.max_prompt_length=32",
    "data.max_response_length=16",
    "actor_rollout_ref.rollout.max_model_len=64",
    "actor_rollout_ref.actor.optim.lr=1e-4",
)


def test_a_llama_trains_on_a_data_set_without_a_table(run_dir: Path, train: Callable[..., int]) -> None:
    own.save_llama(run_dir / "llama")
    train(
        "own",
        "trainer.project_name=arithmetic",
        f"trainer.default_local_dir={run_dir}/checkpoints",
        f"spo.store.url=sqlite:///{run_dir}/verl_spo.db",
        f"model_dir={run_dir}/llama",
        *SHORT,
        f"data.custom_cls.path={own.__file__}",
        "data.custom_cls.name=Letters",
        f"reward.custom_reward_function.path={own.__file__}",
        "trainer.total_training_steps=3",
        "trainer.save_freq=-1",
        recipe="cpu/own_spo",
    )
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, "arithmetic/own").run.id
        names = ["training/rollout_probs_diff_max", "actor/grad_norm", "spo/reward"]
        series = {each.name: each for each in queries.metric_series(reader, [run_id], names).series}
        prompts = queries.prompts(reader, run_id, limit=1000).rows
    # After an update of its own, vLLM's Llama still holds the actor's weights.
    assert series["training/rollout_probs_diff_max"].values.max() < 1e-4
    assert series["actor/grad_norm"].values.min() > 0
    assert 0 < series["spo/reward"].values.mean() < 1
    assert len(prompts) == own.ROWS
    assert {prompt.data_source for prompt in prompts} == {"letters"}
