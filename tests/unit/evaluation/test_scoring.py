"""Stored samples, judged in processes of their own."""

import logging
import random
from dataclasses import replace

import pytest

from tests.support.hostile import HOSTILE
from verl_spo.errors import ConfigError
from verl_spo.evaluation import scoring
from verl_spo.evaluation.scoring import Judged, Sample, score
from verl_spo.rewards import SCORERS
from verl_spo.rewards.scorers import Scorer

pytestmark = pytest.mark.slow

# More than any machine needs: nothing here is to fail by the clock but what never ends.
PATIENT = 300.0


def samples(*responses: str, truth: str = "42", problem: int = 0) -> list[Sample]:
    return [Sample(problem, number, response, truth, "x") for number, response in enumerate(responses)]


def of_one(responses: list[str], scorer: str = "math_verify", truth: str = "42", **options) -> list[Judged]:
    """One problem's, judged."""
    (judged,) = score(samples(*responses, truth=truth), scorer, **{"processes": 2, "time_limit_s": PATIENT} | options)
    return judged


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a scorer that does in a process of its own what the response says."""
    scorer = Scorer("misbehaving", "tests.support.misbehaving", (), "none", low=-1.0, high=1.0, isolated=True)
    monkeypatch.setitem(scoring.SCORERS, scorer.name, scorer)
    return scorer.name


def test_a_sample_has_a_score_an_answer_and_a_vote() -> None:
    judged = of_one([r"$\boxed{42}$", r"\boxed{6 \cdot 7}", r"\boxed{43}", "I do not know."])
    assert judged == [
        Judged(0, 0, 1.0, "42", "42", False),
        Judged(0, 1, 1.0, r"6 \cdot 7", "42", False),
        Judged(0, 2, 0.0, "43", "43", False),
        Judged(0, 3, 0.0, "", "", False),
    ]


@pytest.mark.parametrize(
    ("scorer", "expected"),
    [
        ("math_verify", [r"\frac{1}{2}"] * 4),
        ("math_dapo", ["0.5", "0.5", ".5", r"\frac{1}{2}"]),
        ("reference", ["0.5", " 0.5", ".5", r"\frac{1}{2}"]),
    ],
)
def test_each_scorer_has_its_own_equality(scorer: str, expected: list[str]) -> None:
    responses = [rf"</think>\boxed{{{answer}}}" for answer in ("0.5", " 0.5", ".5", r"\frac{1}{2}")]
    assert [each.vote for each in of_one(responses, scorer, truth="0.5")] == expected


def test_one_direction_of_math_verifys_equality_is_enough() -> None:
    """With the interval as the ground truth, x>1 is wrong; the other way round it is right."""
    answers = ["x>1", r"(1,\infty)"]
    boxed = [rf"\boxed{{{answer}}}" for answer in answers]
    given = [
        each
        for problem, truth in enumerate(answers)
        for each in (
            *samples(*boxed, truth=truth, problem=problem),
            *samples(*boxed[::-1], truth=truth, problem=problem + 2),
        )
    ]
    judged = {each[0].problem: each for each in score(given, "math_verify", processes=1, time_limit_s=PATIENT)}
    assert [[each.score for each in judged[problem]] for problem in range(4)] == [[1, 1], [0, 1], [1, 1], [1, 0]]
    assert {each.vote for problem in judged.values() for each in problem} == {r"(1,\infty)"}


def test_problems_are_yielded_whole_each_in_its_samples_order() -> None:
    given = [
        Sample(problem, number, rf"\boxed{{{answer}}}", str(problem), "x")
        for problem in range(6)
        for number, answer in enumerate((problem, "1+1", -1, problem))
    ]
    shuffled = random.Random(0).sample(given, len(given))
    by_problem = {judged[0].problem: judged for judged in score(shuffled, "math_verify", processes=2)}
    assert sorted(by_problem) == list(range(6))
    for problem, judged in by_problem.items():
        assert [(each.problem, each.number) for each in judged] == [
            (each.problem, each.number) for each in shuffled if each.problem == problem
        ]
        assert {each.number: each.score for each in judged} == {0: 1.0, 1: float(problem == 2), 2: 0.0, 3: 1.0}


def test_equal_responses_are_judged_once(misbehaving: str) -> None:
    judged = of_one(["pid"] * 50, misbehaving)
    assert len({each.found for each in judged}) == 1
    alone = samples(*["pid"] * 2, problem=1)
    assert len(list(score(samples("pid") + alone, misbehaving, processes=1))) == 2


def test_what_goes_wrong_is_a_failed_judgement_and_abstains(misbehaving: str, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        judged = of_one(["raise", "crash", "score 7", "score 1", "raise"], misbehaving)
    assert [each.failed for each in judged] == [True, True, True, False, True]
    assert [(each.score, each.vote) for each in judged] == [(0.0, "")] * 3 + [(1.0, "found"), (0.0, "")]
    # Equal ones are said once.
    assert caplog.text.count("no judgement") == 3


def test_one_that_hangs_stops_nobody(misbehaving: str) -> None:
    judged = of_one(["hang without releasing the interpreter", "score 1"], misbehaving, time_limit_s=2.0)
    assert [each.failed for each in judged] == [True, False]


@pytest.mark.parametrize("how", ["hangs", "raises"])
def test_a_comparison_that_fails_finds_no_equality_and_is_told_once(
    misbehaving: str, monkeypatch: pytest.MonkeyPatch, caplog, how: str
) -> None:
    monkeypatch.setitem(scoring.SCORERS, "math_verify", replace(SCORERS[misbehaving], name="math_verify"))
    answers = ["a", "a", "A", how, "b", "b", "b"]
    with caplog.at_level(logging.WARNING):
        judged = of_one([f"answer {answer}" for answer in answers], time_limit_s=2.0)
    assert [each.vote for each in judged] == ["a", "a", "a", how, "b", "b", "b"]
    assert caplog.text.count("no comparison") == 1
    assert f"'{how}' and 'b' count as different" in caplog.text


@pytest.mark.parametrize("scorer", ["math_verify", "math_dapo", "reference"])
def test_hostile_responses_stop_nobody(scorer: str) -> None:
    judged = of_one([*HOSTILE.values(), r"</think>\boxed{42}"], scorer, time_limit_s=2.0)
    assert [each.score for each in judged] == [0.0] * len(HOSTILE) + [1.0]
    assert judged[-1].vote == "42"
    assert not any(each.vote for each in judged if each.failed)


def test_who_stops_listening_leaves_no_process(misbehaving: str) -> None:
    import psutil

    before = set(psutil.Process().children(recursive=True))
    results = score(
        [each for problem in range(9) for each in samples("pid", problem=problem)], misbehaving, processes=2
    )
    next(results)
    results.close()
    for left in set(psutil.Process().children(recursive=True)) - before:
        # multiprocessing's resource tracker is the interpreter's own.
        assert "resource_tracker" in " ".join(left.cmdline())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scorer": "exact"}, r"scorer='exact': there are math_dapo, math_verify, "),
        ({"processes": 0}, "processes=0: must be 1 or more"),
        ({"time_limit_s": 0}, "time_limit_s=0: must be above 0"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_sample(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        score([], **{"scorer": "reference"} | options)


def test_a_scorer_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Scorer("tidy", "nowhere", ("no_such_package",), "math", low=0.0, high=1.0, isolated=True)
    monkeypatch.setitem(scoring.SCORERS, "tidy", missing)
    with pytest.raises(ConfigError, match=r"scorer=tidy: needs what `pip install 'verl-spo\[math\]'` brings"):
        score([], "tidy")


@pytest.mark.parametrize("scorer", [name for name in SCORERS if not SCORERS[name].missing()])
def test_nothing_is_judged_without_samples(scorer: str) -> None:
    assert list(score([], scorer)) == []
