import numpy as np
import pytest

from benchmarks.learning.real import parts, trial
from verl_spo.launching import compose


@pytest.mark.slow
@pytest.mark.parametrize("arrival", parts.ARRIVALS)
def test_a_run_trains_on_parts_of_a_batch(arrival, tmp_path):
    files = trial.Files(model=tmp_path / "model", data=tmp_path / "data", run=tmp_path)
    config = compose.load("cpu/arithmetic_spo_separate_async", parts.overrides(arrival, 7, files))
    asynchronous = config.trainer.v1.separate_async
    assert asynchronous.parameter_sync_step * config.actor_rollout_ref.actor.ppo_mini_batch_size == parts.SETTING.batch
    assert asynchronous.parameter_sync_step == parts.PARTS
    assert config.spo.normalization == "trajectory"


def test_parts_alone_lose_what_only_the_batch_shows():
    """The constructed case: right answers come first, and each part's are alike but for their baselines."""
    reward = np.array([[[1.0, 1.0], [0.0, 0.0]]])
    raw = reward - np.array([[[0.5, 0.6], [0.5, 0.6]]])
    whole = (raw - raw.mean()) / raw.std(ddof=1)
    measured = parts.compare("wrong late", 0, reward, raw, whole)
    assert (measured.reward_first, measured.reward_last) == (1.0, 0.0)
    assert measured.error["past"] == pytest.approx(0.0, abs=1e-6)
    assert measured.flipped == {"past": 0.0, "alone": 0.5}
    assert measured.error["alone"] > 0.8


def test_the_table_has_a_line_for_each_arrival_and_normalization():
    error = {"past": 0.1, "alone": 0.9}
    measured = [parts.Measured(arrival, seed, 0.6, 0.4, error, error) for arrival in parts.ARRIVALS for seed in (0, 1)]
    lines = parts.table(measured).splitlines()
    assert len(lines) == 2 + 4
    assert lines[2].split(" | ")[1:] == [
        "the past (SPO)",
        "2",
        "60.0 ± 0.0",
        "40.0 ± 0.0",
        "0.100 ± 0.000",
        "10.0 ± 0.0 |",
    ]
