"""`verl-spo score` and `verl-spo report`, from the store to the file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.support.stores import evaluation, info, samples, trained
from verl_spo.cli.main import app
from verl_spo.config import StoreConfig
from verl_spo.errors import ConfigError, DataError, SPOError, StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.records import EvaluationInfo, Finish, Origin, Samples, Verdicts

ANSWERS = (r"</think> so \boxed{%s}", r"</think> \boxed{%s.0}", r"</think> \boxed{0}", "I do not know")


def answered(asked: EvaluationInfo) -> Samples:
    """One right answer, one in other words, one wrong, none at all."""
    texts = [ANSWERS[number].replace("%s", problem.ground_truth) for problem in asked.problems for number in range(4)]
    drawn = samples(asked)
    return replace(
        drawn,
        finish=[Finish.STOP] * 12,
        reward=np.tile([1.0, 0.0, 0.0, 0.0], 3),
        found=["1", "2", "2", ""] * 3,
        prompt_text=["?"] * 12,
        response_text=texts,
    )


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that was evaluated at two steps, another one, and a model of no run."""
    monkeypatch.setenv("COLUMNS", "300")
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=4, evaluated_at=(2,))
    trained(url, steps=4, run=info("other", "b" * 32))
    for run, step in (("demo/spo", 2), ("demo/spo", 4), ("other", 4), (None, 0)):
        asked = evaluation(step, origin=Origin.EVALUATION)
        with Evaluating(StoreConfig(url=url), run, 1) as store:
            number = store.begin(asked)
            store.add(number, answered(asked) if step == 4 else samples(asked))
    monkeypatch.setenv("VERL_SPO_DB", url)
    return url


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def refused(error: type[SPOError], message: str, *arguments: Any) -> None:
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


def test_a_report_is_of_the_last_step_by_the_recipes_reward(db: str) -> None:
    result = run("report", "demo/spo")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("# demo/spo, step 4\n")
    assert "Judged by `reward`" in result.output
    assert "| aime\\_2024 | 3 | 25.0 [" in result.output


def test_a_run_is_held_against_its_earlier_step_and_another_run(db: str, tmp_path: Path) -> None:
    for against, name in (("@2", "demo/spo, step 2"), ("demo/spo@2", "demo/spo, step 2"), ("other", "other, step 4")):
        result = run("report", "demo/spo", "--against", against, "--to", "json", "--out", tmp_path / "report.json")
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / "report.json").read_text())["against"] == name
    document = json.loads((tmp_path / "report.json").read_text())
    assert {each["difference"]["mean"] for each in document["comparisons"]} == {0.0}
    assert len(document["curves"]) == 4


def test_runs_of_other_seeds_validations_and_models_have_reports(db: str) -> None:
    assert "Over 2 training runs" in run("report", "demo/spo", "--seed", "other").output
    assert "# demo/spo, step 2" in run("report", "demo/spo", "--validation").output
    assert "# a/model, step 0" in run("report", "a/model").output


def test_what_is_not_there_is_named_with_the_remedy(db: str) -> None:
    refused(DataError, "demo/spo, step 3: was not evaluated; steps that were: 2, 4", "report", "demo/spo", "--step", 3)
    refused(DataError, r"nobody: has no evaluation in .*`verl-spo evaluate nobody` makes one", "report", "nobody")
    refused(DataError, "other: has no validation", "report", "other", "--validation")
    refused(DataError, "what follows the @ must be a step", "report", "demo/spo", "--against", "other@last")
    refused(DataError, "'reference' has not judged 12 of 12", "report", "demo/spo", "--scorer", "reference")
    refused(StoreError, "run 'nobody': not in", "score", "nobody")
    refused(
        ConfigError, "--scorer reasoning_gym: needs what only the rows", "score", "other", "--scorer", "reasoning_gym"
    )
    refused(ConfigError, "--scorer nobody: there are math_dapo", "score", "demo/spo", "--scorer", "nobody")


def test_an_evaluation_under_way_does_not_spoil_the_curves_of_others(db: str) -> None:
    asked = evaluation(6, origin=Origin.EVALUATION)
    with Evaluating(StoreConfig(url=db), "demo/spo", 1) as store:
        store.add(store.begin(asked), samples(evaluation(6, problems=1, origin=Origin.EVALUATION)))
    result = run("report", "demo/spo", "--step", 4, "--to", "json")
    assert result.exit_code == 0, result.output
    assert {point["step"] for point in json.loads(result.output)["curves"]} == {2, 4}
    refused(DataError, "2 of 3 problems have no sample yet", "report", "demo/spo", "--step", 6)


def test_scorers_judge_what_is_stored(db: str) -> None:
    assert run("score", "other", "--scorer", "reference").exit_code == 0
    with open_reader(db) as reader:
        (row,) = queries.evaluations(reader, 2)
        judged = [sample.verdicts["reference"] for sample in queries.evaluation_samples(reader, row.id, place=0)]
    truth = str(evaluation().problems[0].ground_truth)
    assert [(each.score, each.found) for each in judged] == [(1.0, truth), (0.0, f"{truth}.0"), (0.0, "0"), (0.0, "")]
    said = run("score", "other", "--scorer", "reference").output
    assert "has judged" not in said
    assert "all samples are judged; --again" in said
    assert "has judged 12 samples" in run("score", "other", "--scorer", "reference", "--again").output
    assert "Judged by `reference`" in run("report", "other", "--scorer", "reference").output


def test_a_scorer_that_has_judged_a_part_is_not_the_default(db: str) -> None:
    with open_reader(db) as reader:
        (row,) = queries.evaluations(reader, 2)
    with Evaluating(StoreConfig(url=db)) as store:
        store.judge(row.id, "math_verify", Verdicts([0, 0], [0, 1], [1.0, 1.0], ["1", "1"], ["1", "1"], [False] * 2))
    result = run("report", "other")
    assert result.exit_code == 0, result.output
    assert "Judged by `reward`" in result.output
    refused(DataError, "'math_verify' has not judged 10 of 12", "report", "other", "--scorer", "math_verify")


@pytest.mark.slow
def test_the_published_sets_have_two_scorers_of_which_one_is_shown(db: str) -> None:
    result = run("score", "other")
    assert "math_verify has judged 12 samples" in result.output
    assert "reference has judged 12 samples" in result.output
    with open_reader(db) as reader:
        (row,) = queries.evaluations(reader, 2)
        judged = [sample.verdicts["math_verify"] for sample in queries.evaluation_samples(reader, row.id, place=0)]
    assert [each.score for each in judged] == [1.0, 1.0, 0.0, 0.0]
    assert judged[0].vote == judged[1].vote != judged[2].vote
    assert judged[3].vote == ""
    document = json.loads(run("report", "other", "--to", "json").output)
    assert document["scorer"] == "math_verify"
    assert document["lines"][0]["figures"]["avg@4"]["mean"] == 0.5
    assert document["lines"][0]["figures"]["maj@4"]["mean"] == 1.0


def test_texts_that_are_gone_cannot_be_judged(db: str) -> None:
    asked = evaluation(6, origin=Origin.EVALUATION)
    with Evaluating(StoreConfig(url=db, rollout_budget_mb=0), "other", 1) as store:
        number = store.begin(asked)
        store.add(number, answered(asked))
        store.trim(number)
    refused(DataError, "aime_2024, step 4: the texts of 12 samples are gone", "score", "other", "--scorer", "reference")


def test_the_reader_chooses_among_ways_of_sampling(db: str) -> None:
    cold = replace(evaluation(4, origin=Origin.EVALUATION), settings={"temperature": 0.0})
    with Evaluating(StoreConfig(url=db), "demo/spo", 1) as store:
        store.add(store.begin(cold), samples(cold))
    newest = run("report", "demo/spo").output
    assert "temperature 0.0" in newest
    assert r"with temperature=0.6 too: \-\-setting chooses" in newest
    assert "Sampled with temperature 0.6" in run("report", "demo/spo", "--setting", "temperature=0.6").output
    refused(
        DataError,
        "--setting temperature=1.0: nothing was sampled so; there is temperature=0.6; temperature=0.0",
        *("report", "demo/spo", "--setting", "temperature=1.0"),
    )


def test_figures_of_several_numbers_of_samples(db: str) -> None:
    document = json.loads(run("report", "demo/spo", "--k", "4,1", "--to", "json").output)
    assert [name for name in document["lines"][0]["figures"] if name.startswith("pass@")] == ["pass@1", "pass@4"]
    refused(ConfigError, "--k 1,x: 'x' is no number from 1 on", "report", "demo/spo", "--k", "1,x")
    refused(ConfigError, "k=9: a problem has 4 samples", "report", "demo/spo", "--k", "9")


def test_evaluations_are_listed_and_deleted(db: str) -> None:
    assert "a/model" in run("evaluations", "list").output
    assert len(json.loads(run("evaluations", "list", "demo/spo", "--json").output)) == 3
    assert run("evaluations", "delete", "demo/spo", "--step", 2, "--yes").output == (
        "2 evaluations of demo/spo: deleted\n"
    )
    assert [row["step"] for row in json.loads(run("evaluations", "list", "demo/spo", "--json").output)] == [4]
    assert run("evaluations", "delete", "a/model", "--texts", "--yes").exit_code == 0
    assert "# a/model, step 0" in run("report", "a/model").output
    assert run("evaluations", "delete", "a/model").exit_code == 1
    assert run("evaluations", "delete", "a/model", "--yes").exit_code == 0
    assert json.loads(run("evaluations", "list", "--json").output) == []
    refused(DataError, "a/model: no such evaluation", "evaluations", "delete", "a/model", "--yes")
