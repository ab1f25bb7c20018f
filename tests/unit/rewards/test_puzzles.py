import json

import pytest

from verl_spo.errors import DataError
from verl_spo.rewards import reasoning_gym

pytest.importorskip("reasoning_gym", reason="without reasoning-gym")

ENTRY = {"question": "1 + 1 =", "answer": "2", "metadata": {}}
EXTRA = {"task": "chain_sum", "entry": json.dumps(ENTRY)}


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("<answer>2</answer>", "2"),
        ("It is <answer>3</answer>, no: <answer>\n2 </answer>.", "2"),
        ("<answer>I think <answer>2</answer>", "2"),
        (" 2\n", "2"),
    ],
)
def test_the_last_tagged_answer_or_else_the_whole_response_is_judged(response, found) -> None:
    expected = {"score": 1.0, "acc": 1.0, "pred": found, "failed": 0.0}
    assert reasoning_gym("reasoning_gym/chain_sum", response, "2", EXTRA) == expected


def test_a_task_judges_what_its_ground_truth_does_not_tell() -> None:
    """Countdown: any expression that makes the number."""
    entry = {"answer": "1 + 2 * 3", "metadata": {"numbers": [1, 2, 3], "target": 7, "expression": "1 + 2 * 3"}}
    extra = {"task": "countdown", "entry": json.dumps(entry)}
    assert reasoning_gym("x", "<answer>3 * 2 + 1</answer>", "", extra)["score"] == 1.0
    assert reasoning_gym("x", "<answer>3 * 2 - 1</answer>", "", extra)["score"] < 1.0


@pytest.mark.parametrize("extra", [None, {}, {"task": "chain_sum"}, {"task": "no such task", "entry": "{}"}])
def test_rows_of_another_kind_are_failed_judgements(extra, caplog) -> None:
    assert reasoning_gym("x", "2", "2", extra)["failed"] == 1.0
    assert DataError.__name__ in caplog.text or "not registered" in caplog.text
