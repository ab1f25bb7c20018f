"""In what runs differ."""

from typing import Any

from verl_spo.store.queries import AttemptRow, RunDetail, RunRow
from verl_spo_dashboard import differences
from verl_spo_dashboard.wording import NOTHING

ROW = RunRow(1, "run", "u", "running", 1, 1000.0, 1500.0, None, 3, 0.0, 8, 0, ())


def detail(*configs: dict[str, Any], **changes: Any) -> RunDetail:
    """A run with an attempt for each configuration."""
    values: dict[str, Any] = {"host": "node", "versions": {"verl": "0.9.1"}, "git": {"commit": "0" * 40}, **changes}
    attempts = [
        AttemptRow(number + 1, 0.0, None, None, config=config, **values) for number, config in enumerate(configs)
    ]
    return RunDetail(ROW, tuple(attempts))


def test_nested_options_have_dotted_names() -> None:
    first, second = {"a": {"b": {"c": 1, "d": 2}}, "e": 0}, {"a": {"b": {"c": 3, "d": 2}}, "e": 0}
    assert differences.options([detail(first), detail(second)]) == {"a.b.c": ["1", "3"]}


def test_values_are_written_as_yaml_would_have_them() -> None:
    values: list[Any] = [None, True, 1, 1.0, "1", "x", [1, "ü"], {}]
    found = differences.options([detail({"a": value}) for value in values])
    assert found == {"a": ["null", "true", "1", "1.0", "1", "x", '[1, "ü"]', "{}"]}


def test_an_option_that_one_does_not_have_is_a_dash() -> None:
    assert differences.options([detail({"a": 1}), detail({})]) == {"a": ["1", NOTHING]}
    assert differences.options([detail({"a": {"b": 1}}), detail({"a": 2})]) == {
        "a": [NOTHING, "2"],
        "a.b": ["1", NOTHING],
    }


def test_the_present_attempts_are_compared() -> None:
    assert differences.options([detail({"a": 1}, {"a": 2}), detail({"a": 2})]) == {}


def test_software_is_packages_host_and_commit() -> None:
    first, second = detail({}), detail({}, host="other", versions={"verl": "0.9.1", "torch": "2"}, git=None)
    assert differences.versions([first, second]) == {
        "git commit": ["0" * 40, NOTHING],
        "host": ["node", "other"],
        "torch": [NOTHING, "2"],
    }


def test_runs_before_their_first_attempt_have_nothing() -> None:
    assert differences.options([detail(), detail()]) == differences.versions([detail(), detail()]) == {}
