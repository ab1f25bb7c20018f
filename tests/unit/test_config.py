"""Options: the dataclass, the Hydra group beside it, and what bad input is told."""

import pytest
from omegaconf import OmegaConf

from verl_spo.config import SPOConfig
from verl_spo.errors import ConfigError
from verl_spo.launching import recipes

GROUP = recipes.folder() / "spo" / "spo.yaml"


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
        (
            {"baseline": "optimal", "normalization": "token"},
            "spo.normalization='token': promises a mean of zero over tokens, but spo.baseline=optimal centres by",
        ),
        ({"rho": 0}, "spo.rho=0.0: must be in (0, 1]"),
        ({"rho_min": 0.97}, "spo.rho_max=0.96: must be in [rho_min = 0.97, 1]"),
        ({"gamma": 1.5}, "spo.gamma=1.5: must be in [0, 1]"),
        ({"value_range": [0.9, 0.1]}, "spo.value_range=[0.9, 0.1]: must be two numbers"),
        ({"value_range": 0.5}, "spo.value_range=0.5: must be two numbers"),
        ({"reward_low": 1.0}, "spo.reward_high=1.0: must be above reward_low = 1.0"),
        ({"reward_out_of_range": "ignore"}, "spo.reward_out_of_range='ignore': must be one of error, clip"),
        ({"reward_threshold": 2.0}, "spo.reward_threshold=2.0: must be in [0.0, 1.0]"),
        ({"init": "file"}, "spo.init_file=None: must be set when init=file"),
        ({"init": "run"}, "spo.init_run=None: must be set when init=run"),
        (
            {"init": "rollouts", "init_only": True, "branch_from": "x/global_step_3"},
            "spo.branch_from='x/global_step_3': must be None with init_only",
        ),
        ({"store": {"queue_steps": 0}}, "spo.store.queue_steps=0: must be at least 1"),
        ({"identity_fields": "seed"}, "spo.identity_fields='seed': must be a list of names, such as [seed]"),
        ({"identity_fields": [1]}, "spo.identity_fields=1: must be of type str"),
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


@pytest.mark.parametrize("fields", [None, [], ["seed", "level"]])
def test_names_of_fields_are_a_list_or_nobody_has_said(fields: list[str] | None) -> None:
    config = SPOConfig.from_mapping({"identity_fields": fields})
    assert config.to_dict()["identity_fields"] == fields
    assert config.identity_fields == (None if fields is None else tuple(fields))
