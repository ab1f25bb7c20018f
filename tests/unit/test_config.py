"""Options: the dataclass, the Hydra group beside it, and what bad input is told."""

from importlib.resources import files

import pytest
from omegaconf import OmegaConf

from verl_spo.config import SPOConfig
from verl_spo.errors import ConfigError

GROUP = files("verl_spo.recipes") / "spo" / "spo.yaml"


def test_the_hydra_group_holds_the_same_options_with_the_same_defaults() -> None:
    group = OmegaConf.to_container(OmegaConf.create(GROUP.read_text()))
    assert group == SPOConfig().to_dict()
    assert SPOConfig.from_mapping(group) == SPOConfig()


def test_every_option_of_the_group_is_documented_above_it() -> None:
    lines = GROUP.read_text().splitlines()
    undocumented = []
    for number, line in enumerate(lines):
        if line and not line.lstrip().startswith("#"):
            above = next(before for before in reversed(lines[:number]) if before)
            # Options that share one comment stand together, without a blank line.
            shares = lines[number - 1] and not lines[number - 1].lstrip().startswith("#")
            if not above.lstrip().startswith("#") and not shares:
                undocumented.append(line)
    assert undocumented == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epsilo": 0.1}, "spo.epsilo: no such option"),
        ({"store": {"uri": "x"}}, "spo.store.uri: no such option"),
        ({"store": "sqlite:///x.db"}, "spo.store='sqlite:///x.db': must be a group"),
        ({"epsilon": -0.1}, "spo.epsilon=-0.1: must be at least 0"),
        ({"epsilon": "much"}, "spo.epsilon='much': must be of type float"),
        ({"epsilon": float("nan")}, "spo.epsilon=nan: must be of type float"),
        ({"epsilon": True}, "spo.epsilon=True: must be of type float"),
        ({"seed": 1.5}, "spo.seed=1.5: must be of type int"),
        ({"retention": "forever"}, "spo.retention='forever': must be one of kl, constant, event, drift"),
        ({"rho": 0}, "spo.rho=0.0: must be in (0, 1]"),
        ({"rho_min": 0.97}, "spo.rho_max=0.96: must be in [rho_min = 0.97, 1]"),
        ({"gamma": 1.5}, "spo.gamma=1.5: must be in [0, 1]"),
        ({"value_range": [0.9, 0.1]}, "spo.value_range=[0.9, 0.1]: must be two numbers"),
        ({"value_range": 0.5}, "spo.value_range=0.5: must be two numbers"),
        ({"reward_low": 1.0}, "spo.reward_high=1.0: must be above reward_low = 1.0"),
        ({"reward_threshold": 2.0}, "spo.reward_threshold=2.0: must be in [0.0, 1.0]"),
        ({"init": "file"}, "spo.init_file=None: must be set when init=file"),
        ({"init": "run"}, "spo.init_run=None: must be set when init=run"),
        ({"store": {"queue_steps": 0}}, "spo.store.queue_steps=0: must be at least 1"),
        ({"poll_interval_s": 0}, "spo.poll_interval_s=0.0: must be above 0"),
    ],
)
def test_bad_options_name_the_option_the_value_and_the_remedy(options: dict, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SPOConfig.from_mapping(options)
    assert expected in str(caught.value)


def test_whole_numbers_are_taken_for_floats_and_null_for_absent() -> None:
    config = SPOConfig.from_mapping({"epsilon": 1, "reward_threshold": None, "init_file": None})
    assert config.epsilon == 1.0
    assert config.reward_threshold is None
