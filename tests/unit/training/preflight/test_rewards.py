"""Rewards that verl would not read, or that will leave their range, are found before the start."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.configured import configure, row
from verl_spo.errors import ConfigError
from verl_spo.training import preflight
from verl_spo.training.preflight import rewards
from verl_spo.training.verl_options import spo_config

VERLS_OWN = "reward.custom_reward_function.path=null"
DAPO = (
    "reward.reward_manager.name=dapo",
    "reward.reward_kwargs.max_resp_len=16",
    "reward.reward_kwargs.overlong_buffer_cfg.enable=True",
    "reward.reward_kwargs.overlong_buffer_cfg.log=False",
    "reward.reward_kwargs.overlong_buffer_cfg.len=4",
    "reward.reward_kwargs.overlong_buffer_cfg.penalty_factor=0.5",
)


def write_sources(demo_dir: Path, *sources: str | None) -> None:
    rows = [{**row(), "data_source": source} for source in sources]
    pq.write_table(pa.Table.from_pylist(rows), demo_dir / "data" / "train.parquet")


@pytest.mark.parametrize(
    ("sources", "options", "lowest", "reasons"),
    [
        (["arithmetic"], DAPO, "-0.5", ["reward.reward_kwargs.overlong_buffer_cfg takes up to 0.5"]),
        (["x"], [*DAPO, "data.max_response_length=20"], "-1", ["takes up to 1 from a long response"]),
        (["x", "math_dapo"], [VERLS_OWN], "-1", ["a wrong answer to data_source='math_dapo' with -1"]),
        ([None, "aime2024"], [VERLS_OWN, "spo.reward_low=-0.5"], "-1", ["data_source='aime2024'"]),
        (["math"], [VERLS_OWN, *DAPO, "spo.reward_low=-1"], "-1.5", ["data_source='math'", "takes up to 0.5"]),
    ],
)
def test_rewards_that_go_below_their_range_are_refused(
    demo_dir: Path, sources: list, options: list[str], lowest: str, reasons: list[str]
) -> None:
    write_sources(demo_dir, *sources)
    with pytest.raises(ConfigError, match=rf"spo.reward_low=.*: rewards go down to {lowest} \(") as caught:
        preflight.check(configure(demo_dir, *options))
    assert str(caught.value).endswith(f"set spo.reward_low={lowest}, or spo.reward_out_of_range=clip")
    assert all(reason in str(caught.value) for reason in reasons)
    preflight.check(configure(demo_dir, *options, f"spo.reward_low={lowest}"))
    preflight.check(configure(demo_dir, *options, "spo.reward_out_of_range=clip"))


@pytest.mark.parametrize("max_response_length", [16, 20])
def test_the_penalty_is_what_verl_takes_from_the_longest_response(demo_dir: Path, max_response_length: int) -> None:
    import torch
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager.dapo import DAPORewardManager

    config = configure(demo_dir, *DAPO, f"data.max_response_length={max_response_length}")
    tokens = torch.ones(1, max_response_length, dtype=torch.int64)
    of_one = {"data_source": ["x"], "reward_model": [{"ground_truth": "2"}]}
    data = DataProto.from_dict(
        {"responses": tokens, "attention_mask": tokens},
        non_tensors={name: np.array(value, dtype=object) for name, value in of_one.items()},
    )
    manager = DAPORewardManager(config, SimpleNamespace(decode=lambda *_, **__: ""), lambda **_: 0.0)
    lowest = manager.loop.run_until_complete(manager.run_single(data))["reward_score"]
    with pytest.raises(ConfigError, match=f"rewards go down to {float(lowest):g} "):
        preflight.check(config)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["spo.reward_low=1", "spo.reward_high=5"],
        [VERLS_OWN, "reward.reward_manager.source=importlib"],
        [*DAPO, "reward.reward_manager.name=naive"],
        [*DAPO, "reward.reward_kwargs.overlong_buffer_cfg.enable=False"],
        [*DAPO, "reward.reward_kwargs.max_resp_len=64"],
    ],
)
def test_what_takes_nothing_or_is_not_known_passes(demo_dir: Path, options: list[str]) -> None:
    write_sources(demo_dir, "math_dapo")
    preflight.check(configure(demo_dir, *options))


def test_files_that_do_not_lie_here_say_nothing_of_their_sources(demo_dir: Path) -> None:
    config = configure(demo_dir, VERLS_OWN, "data.train_files=[hdfs://cluster/train.parquet]")
    rewards.check_range(config, spo_config(config))


def test_a_reward_models_logits_need_a_range_or_clipping(demo_dir: Path) -> None:
    model = (VERLS_OWN, "reward.reward_model.enable=True")
    with pytest.raises(ConfigError, match=r"spo.reward_low=0: reward.reward_model.enable=True gives logits.*=clip"):
        preflight.check(configure(demo_dir, *model))
    preflight.check(configure(demo_dir, *model, "spo.reward_out_of_range=clip"))
    preflight.check(configure(demo_dir, *model, "spo.reward_low=-20", "spo.reward_high=20"))
    # A function of the user's may ask the model, and scores by itself.
    preflight.check(configure(demo_dir, "reward.reward_model.enable=True"))


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("custom_reward_function.path=my.py", "custom_reward_function.path='my.py'.*set it in reward.custom_reward_f"),
        ("reward_model.reward_manager=dapo", "reward_model.reward_manager='dapo'.*reward.reward_manager"),
        ("reward_model.reward_kwargs.overlong_buffer_cfg.enable=True", "overlong_buffer_cfg.enable=True: verl's V1"),
        ("sandbox_fusion.url=http://x", "sandbox_fusion.url='http://x'.*set it in reward.sandbox_fusion"),
    ],
)
@pytest.mark.parametrize("check", [preflight.check, preflight.check_without_spo])
def test_options_of_verls_older_trainers_are_refused(demo_dir: Path, check, option: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        check(configure(demo_dir, option))


def ours(name: str, path: str = "pkg://verl_spo.rewards") -> list[str]:
    return [f"reward.custom_reward_function.path={path}", f"reward.custom_reward_function.name={name}"]


@pytest.mark.parametrize("check", [preflight.check, preflight.check_without_spo])
def test_our_own_functions_must_exist(demo_dir: Path, check) -> None:
    check(configure(demo_dir, *ours("math_dapo")))
    with pytest.raises(ConfigError, match=r"name='compute_score': pkg://verl_spo.rewards has math_dapo, math_verify, "):
        check(configure(demo_dir, *ours("compute_score", "pkg://verl_spo/rewards")))
    # What another package has is not ours to say.
    check(configure(demo_dir, *ours("compute_score", "pkg://verl_spo.demo.rewards")))


def test_our_own_functions_must_have_what_they_need(demo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "math_verify" else object())
    with pytest.raises(ConfigError, match=r"name=math_verify: needs what `pip install 'verl-spo\[math\]'` brings"):
        preflight.check(configure(demo_dir, *ours("math_verify")))


@pytest.mark.parametrize("bounds", [(0.5, 1), (0, 0.5), (1, 5)])
def test_our_own_functions_need_a_range_with_0_and_1(demo_dir: Path, bounds: tuple[float, float]) -> None:
    options = [*ours("math_dapo"), f"spo.reward_low={bounds[0]}", f"spo.reward_high={bounds[1]}"]
    with pytest.raises(ConfigError, match=r"math_dapo are 0 for a wrong answer and 1 for a right one"):
        preflight.check(configure(demo_dir, *options))
    preflight.check(configure(demo_dir, *options, "spo.reward_out_of_range=clip"))


def test_our_own_functions_stay_in_the_range_where_verls_leave_it(demo_dir: Path) -> None:
    write_sources(demo_dir, "math_dapo", "aime_2024")
    preflight.check(configure(demo_dir, *ours("math_dapo")))
    with pytest.raises(ConfigError, match=r"rewards go down to -0\.5"):
        preflight.check(configure(demo_dir, *ours("math_dapo"), *DAPO))
