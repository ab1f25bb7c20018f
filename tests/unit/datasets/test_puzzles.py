import json

import pytest

from verl_spo.errors import DataError

pytest.importorskip("reasoning_gym", reason="without reasoning-gym")

from verl_spo.datasets.puzzles import make_problems


def test_problems_are_distinct_and_of_each_task_in_turn() -> None:
    problems = make_problems(["chain_sum", "gcd"], 101, seed=0)
    assert len({problem.question for problem in problems}) == 101
    assert [problem.extra["task"] for problem in problems[:4]] == ["chain_sum", "gcd", "chain_sum", "gcd"]
    assert sum(problem.data_source == "reasoning_gym/gcd" for problem in problems) == 50


def test_the_seed_decides() -> None:
    assert make_problems(["gcd"], 20, seed=1) == make_problems(["gcd"], 20, seed=1)
    assert make_problems(["gcd"], 20, seed=1) != make_problems(["gcd"], 20, seed=2)


def test_a_higher_level_is_harder() -> None:
    terms = [
        sum(1 + p.question.count(" + ") + p.question.count(" - ") for p in make_problems(["chain_sum"], 50, 0, level))
        for level in (0, 3)
    ]
    assert terms[1] > terms[0]


@pytest.mark.parametrize("task", ["chain_sum", "countdown", "knights_knaves", "sudoku", "simple_equations"])
def test_its_scorer_can_judge_what_is_in_a_row(task) -> None:
    from verl_spo.rewards import reasoning_gym

    for problem in make_problems([task], 3, seed=0):
        response = f"Well. <answer>{problem.answer}</answer>"
        assert reasoning_gym(problem.data_source, response, problem.answer, dict(problem.extra))["score"] == 1.0
        assert json.loads(str(problem.extra["entry"]))["question"] == problem.question


@pytest.mark.parametrize(
    ("tasks", "count", "level", "message"),
    [
        (["chain_sums"], 1, None, "--task chain_sums: reasoning-gym has no such task; it has .*chain_sum"),
        (["gcd"], 1, 99, "--task gcd, --level 99: it has levels 0 to"),
        (["self_reference"], 10_000, None, "--task self_reference: only [0-9]+ distinct problems came"),
        (["graph_color"], 1, None, "--task graph_color: has no answers of its own"),
        (["arc_agi"], 1, None, "--task arc_agi: its own answer .* is not right when judged from a file"),
        (["composite"], 1, None, "--task composite: cannot be generated .*at least one dataset"),
    ],
)
def test_what_cannot_be_made_is_said(tasks, count, level, message) -> None:
    with pytest.raises(DataError, match=message):
        make_problems(tasks, count, seed=0, level=level)
