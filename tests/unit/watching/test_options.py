"""The rules' limits, as users write them."""

from dataclasses import fields
from pathlib import Path

import pytest

from verl_spo.errors import ConfigError
from verl_spo.watching import AlertRules


def test_what_is_not_named_has_its_default() -> None:
    assert AlertRules.parse([]) == AlertRules()
    assert AlertRules.parse(["reward_drop=0.3", "queue_window=7"]) == AlertRules(reward_drop=0.3, queue_window=7)


def test_infinity_turns_a_rule_off() -> None:
    assert AlertRules.parse(["stall_factor=inf"]).stall_factor == float("inf")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("reward_drop", "--rule reward_drop: write NAME=VALUE, such as reward_drop=0.5"),
        ("reward=0.3", "--rule reward=0.3: there is no such rule; there are reward_drop, reward_window"),
        ("reward_drop=much", "--rule reward_drop=much: must be a number"),
        ("reward_window=2.5", "--rule reward_window=2.5: must be a whole number"),
        ("reward_drop=0", r"--rule reward_drop=0.0: must be in \(0, 1\]"),
        ("reward_drop=nan", r"--rule reward_drop=nan: must be in \(0, 1\]"),
        ("reward_window=1", "--rule reward_window=1: must be from 2 to 150"),
        ("entropy_window=151", "--rule entropy_window=151: must be from 2 to 150"),
        ("entropy_share=1", r"--rule entropy_share=1.0: must be in \[0, 1\)"),
        ("entropy_floor=-1", "--rule entropy_floor=-1.0: must be at least 0 and finite"),
        ("failure_share=1.1", r"--rule failure_share=1.1: must be in \(0, 1\]"),
        ("failure_growth=0", r"--rule failure_growth=0.0: must be in \(0, 1\]"),
        ("failure_window=0", "--rule failure_window=0: must be from 1 to 150"),
        ("stall_factor=1", "--rule stall_factor=1.0: must be above 1"),
        ("stall_least_s=inf", "--rule stall_least_s=inf: must be at least 0 and finite"),
        ("queue_share=0", "--rule queue_share=0.0: must be above 0"),
        ("queue_window=0", "--rule queue_window=0: must be from 1 to 150"),
        ("disk_free_gb=-1", "--rule disk_free_gb=-1.0: must be at least 0 and finite"),
        ("disk_writes=-1", "--rule disk_writes=-1.0: must be at least 0 and finite"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        AlertRules.parse([rule])


def test_every_rule_is_documented_with_its_default() -> None:
    document = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    for field in fields(AlertRules):
        assert f"| `{field.name}` | {field.default:g} |" in document
