import json

import pytest

from benchmarks.learning.real import trial
from benchmarks.learning.settings import VERL
from verl_spo.launching import compose

RUNS = [(setting, variant) for setting, variants in VERL.items() for variant in variants]


@pytest.fixture
def files(tmp_path):
    return trial.Files(model=tmp_path / "model", data=tmp_path / "data", run=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "variant"), RUNS)
def test_every_run_is_a_recipe_of_equal_trajectories(setting, variant, files):
    config = compose.load(trial.recipe_of(variant), trial.overrides(setting, variant, 7, files))
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    assert config.data.train_batch_size * rollout.n == setting.batch
    assert actor.ppo_mini_batch_size * rollout.n == setting.batch // 2
    assert actor.optim.lr == setting.lr
    assert config.trainer.total_training_steps == setting.steps
    if variant.is_spo:
        assert (config.spo.retention, config.spo.normalization) == (variant.retention, variant.normalization)
        assert config.spo.baseline == variant.baseline
        assert config.spo.seed == 7


def test_a_log_is_read_by_metric(files):
    files.run.mkdir()
    lines = [{"step": 1, "data": {"critic/score/mean": 0.25}}, {"step": 2, "data": {"critic/score/mean": 0.75, "x": 1}}]
    files.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    logged = trial.read_log(files.log)
    assert logged["critic/score/mean"] == [0.25, 0.75]
    assert trial.means(logged) == {"batch_reward": 0.5}


def test_a_group_of_equal_rewards_is_degenerate(files):
    files.rollouts.mkdir(parents=True)
    scores = [1.0] * 8 + [0.0] * 8 + [0.0] * 7 + [1.0]
    for step in (1, 2):
        lines = (json.dumps({"score": score}) for score in scores)
        (files.rollouts / f"{step}.jsonl").write_text("\n".join(lines))
    assert trial.degenerate_groups(files.rollouts) == pytest.approx(2 / 3)
