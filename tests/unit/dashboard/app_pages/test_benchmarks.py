import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.benchmarked import benchmarked
from tests.support.plausible import PlausibleRun
from verl_spo.evaluation.evaluated import Evaluated
from verl_spo.evaluation.intervals import mean_interval
from verl_spo.evaluation.results import results_of
from verl_spo.store import open_reader, queries
from verl_spo.store.records import Origin

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]


@pytest.fixture
def runs(url: str) -> str:
    """Two runs with samples at three steps and at one, one without, and a model of no run."""
    for seed, name in enumerate(("a", "b", "bare")):
        PlausibleRun(url, name=name, seed=seed).train(2).close()
    benchmarked(url, "a", (0, 10, 20))
    benchmarked(url, "b", (20,), skill=0.5)
    benchmarked(url, None, (0,), model="a/model")
    return url


def specs(app: AppTest) -> dict[str, Any]:
    """The charts' specifications by title."""
    found = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    return {spec["title"]["text"]: spec for spec in found if "title" in spec}


def table(app: AppTest, *columns: str) -> Any:
    """The table that has these columns."""
    return next(each.value for each in app.dataframe if {*columns} <= {*each.value.columns})


def texts(app: AppTest) -> list[str]:
    return [each.value for each in app.text]


def test_figures_are_those_of_the_evaluation(runs: str, open_page: Open) -> None:
    app = open_page("benchmarks", run="a")
    assert not app.exception
    assert list(specs(app)) == ["avg@8"]
    with open_reader(runs) as reader:
        row = queries.evaluations(reader, 1)[-1]
        scores = queries.evaluation_scores(reader, row.id, "math_verify")
        one = Evaluated(row, [], results_of(row.benchmark, "math_verify", row.problems, scores))
    value = mean_interval([one.results.average()])
    expected = f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    assert list(table(app, "Policy", "avg@8")["avg@8"]) == [expected]


def test_a_run_is_held_against_another_and_its_own_earlier_steps(runs: str, open_page: Open) -> None:
    app = open_page("benchmarks", run="a", **{"with": "b"})
    assert not app.exception
    assert list(table(app, "Policy", "avg@8")["Policy"]) == ["a", "b"]
    assert list(table(app, "Figure", "p")["Figure"]) == ["avg@8", "maj@8", "verl_maj@8", "pass@8", "pass^8"]
    against_another = list(table(app, "Problem", "Change")["Before"])
    app = open_page("benchmarks", run="a", against="a, step 10")
    assert list(table(app, "Problem", "Change")["Before"]) != against_another
    changes = table(app, "Problem", "Change")
    won = int((changes["Change"] > 0).sum())
    assert any(said.startswith(f"{won} problem") for said in texts(app))


def test_the_address_chooses_scorer_figure_samples_and_step(runs: str, open_page: Open) -> None:
    app = open_page("benchmarks", run="a", scorer="reward", figure="pass@k", k="2", step="10")
    assert not app.exception
    assert list(specs(app)) == ["pass@2"]
    assert list(table(app, "Policy", "pass@2")["Step"]) == [10]
    strict = table(app, "Policy", "avg@2")["avg@2"][0]
    lenient = table(open_page("benchmarks", run="a", k="2", step="10"), "Policy", "avg@2")["avg@2"][0]
    assert float(strict.split()[0]) < float(lenient.split()[0])


def test_a_problem_shows_its_answers_and_a_samples_text(runs: str, open_page: Open) -> None:
    app = open_page("benchmarks", run="a", problem="3", sample="2")
    assert not app.exception
    assert "Problem 4 · right answer: 9" in texts(app)
    assert int(table(app, "Answer", "Samples")["Samples"].sum()) == 8
    assert list(table(app, "Sample", "math_verify", "reward", "To doubt")["Sample"]) == list(range(1, 9))
    with open_reader(runs) as reader:
        row = queries.evaluations(reader, 1)[-1]
        response = queries.evaluation_samples(reader, row.id, 3)[2].response
    assert response in [code.value for code in app.code]


def test_models_of_no_run_stand_beside_runs_and_alone(runs: str, url: str, open_page: Open) -> None:
    app = open_page("benchmarks", run="a", model="a/model")
    assert list(table(app, "Policy", "avg@8")["Policy"]) == ["a", "a/model"]


def test_models_need_no_run(url: str, open_page: Open) -> None:
    benchmarked(url, None, (0,), model="a/model")
    app = open_page("benchmarks", model="a/model")
    assert not app.exception
    assert list(table(app, "Policy", "avg@8")["Policy"]) == ["a/model"]


def test_published_figures_stand_beside_theirs(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").train(1).close()
    benchmarked(url, "a", (10,), samples=32)
    chart = specs(open_page("benchmarks", run="a", figure="verl_maj@k"))["verl_maj@32"]
    assert "references" in json.dumps(chart["layer"])
    assert "references" not in json.dumps(specs(open_page("benchmarks", run="a", figure="avg@k"))["avg@32"]["layer"])


def test_without_samples_verls_own_metrics_are_shown(runs: str, open_page: Open) -> None:
    app = open_page("benchmarks", run="bare")
    assert not app.exception
    assert list(specs(app)) == ["Validation, as verl logged it"]


def test_a_run_without_any_step_says_how_to_begin(open_page: Open, url: str) -> None:
    PlausibleRun(url, name="a").close()
    with open_reader(url):
        app = open_page("benchmarks")
    assert not app.exception
    assert "verl-spo evaluate RUN" in [code.value for code in app.code]


@pytest.mark.parametrize(
    "address",
    [
        {"benchmark": "nobody"},
        {"scorer": "<b>x</b>"},
        {"figure": "x@"},
        {"k": "1000"},
        {"k": "-1"},
        {"step": "99"},
        {"against": "nobody, step 3"},
        {"problem": "99"},
        {"problem": "-1"},
        {"problem": "0", "sample": "1000"},
        {"model": "nobody"},
        {"with": "nobody"},
    ],
    ids=str,
)
def test_bad_addresses_show_the_usual(runs: str, open_page: Open, address: dict[str, str]) -> None:
    app = open_page("benchmarks", run="a", **address)
    assert not app.exception
    assert list(specs(app)) == ["avg@8"]


def test_what_answers_say_is_plain_text(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").train(1).close()
    benchmarked(url, "a", (1,), text="<script>alert(1)</script> ![x](http://a.b/c)")
    app = open_page("benchmarks", run="a", problem="0")
    assert not app.exception
    assert not [each for each in app.markdown if "script" in each.value]
    assert any("<script>" in code.value for code in app.code)


def test_only_samples_that_are_new_are_read_again(runs: str, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("benchmarks", run="a")
    read: list[int] = []
    original = queries.evaluation_scores
    monkeypatch.setattr(queries, "evaluation_scores", lambda *given: read.append(given[1]) or original(*given))
    app.run()
    assert read == []
    (new,) = benchmarked(runs, "a", (30,))
    app.run()
    assert read == [new]


def test_validations_are_chosen_by_how_they_were_sampled(runs: str, open_page: Open) -> None:
    benchmarked(runs, "a", (5, 15), origin=Origin.VALIDATION)
    way = "validation: temperature 0.6, top_p 0.95"
    app = open_page("benchmarks", run="a", sampling=way)
    assert not app.exception
    assert list(table(app, "Policy", "avg@8")["Step"]) == [15]
