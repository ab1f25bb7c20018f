"""Samples of benchmarks on both databases: asked for again, added once, judged by several scorers, kept to a budget."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.support.stores import Training, evaluated, evaluation, info, pool, samples, trained, writing
from verl_spo.store import evaluations, open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.records import Finish, Origin, Verdicts

BUDGET = 2**20


@pytest.fixture
def engine(database_url: str) -> Engine:
    return open_engine(database_url)


def test_what_training_validates_is_kept_with_all_its_samples(database_url: str) -> None:
    trained(database_url, steps=2, evaluated_at=(1, 2))
    with open_reader(database_url) as reader:
        first, second = queries.evaluations(reader, 1)
        assert (first.step, second.step) == (1, 2)
        assert (first.problems, first.wanted, first.samples) == (3, 4, 12)
        assert first.complete
        assert first.problems_digest == second.problems_digest
        assert queries.evaluation_problems(reader, first.id)[0].question.startswith("What is 1000")
        scores = queries.evaluation_scores(reader, first.id, evaluations.REWARD)
        given = samples(evaluation(1))
        np.testing.assert_array_equal(scores.score, given.reward)
        assert scores.finish[3::4] == [Finish.FAILED] * 3
        assert scores.vote[:3] == [found.strip() for found in given.found[:3]]
        row = queries.evaluation_samples(reader, first.id, place=1)[2]
        assert (row.place, row.sample, row.seed) == (1, 2, 102)
        assert (row.prompt, row.response) == ("problem 1", "answer 1 2")
        assert row.verdicts[evaluations.REWARD].score == given.reward[6]


def test_asking_again_finds_the_same_evaluation_and_may_want_more(engine: Engine, database_url: str) -> None:
    few, more = evaluation(0, origin=Origin.EVALUATION, wanted=2), evaluation(0, origin=Origin.EVALUATION, wanted=4)
    with engine.begin() as connection:
        number = evaluations.begin(connection, few)
        evaluations.add_samples(connection, number, samples(few), 1.0, BUDGET)
    with engine.begin() as connection:
        assert evaluations.begin(connection, more) == number
        # The last of each problem has failed, and is asked for again.
        assert sorted(evaluations.sample_keys(connection, number)) == [(place, 0) for place in range(3)]
        evaluations.add_samples(connection, number, samples(more), 2.0, BUDGET)
        evaluations.add_samples(connection, number, samples(more), 3.0, BUDGET)
        assert evaluations.begin(connection, few) == number
    with open_reader(database_url) as reader:
        (row,) = queries.evaluations(reader, None)
        assert (row.wanted, row.samples, row.run_id) == (4, 12, None)


@pytest.mark.parametrize(
    "other",
    [
        {"step": 2},
        {"model": "another"},
        {"settings": {"temperature": 1.0}},
        {"origin": Origin.EVALUATION},
        {"benchmark": "aime_2025"},
        {"problems": evaluation(problems=2).problems},
    ],
    ids=lambda other: next(iter(other)),
)
def test_anything_else_is_another_evaluation(engine: Engine, other: dict[str, object]) -> None:
    one = evaluation(1, model="m")
    with engine.begin() as connection:
        assert evaluations.begin(connection, one) != evaluations.begin(connection, replace(one, **other))


def test_a_policy_is_told_by_its_run_attempt_and_step(database_url: str, engine: Engine) -> None:
    trained(database_url, steps=1)
    with engine.begin() as connection:
        made = {evaluations.begin(connection, evaluation(step), 1, attempt) for step in (1, 2) for attempt in (1, 2)}
        assert len(made) == 4
        assert evaluations.begin(connection, evaluation(1, model="moved"), 1, 1) in made


def test_scorers_stand_beside_each_other(engine: Engine, database_url: str) -> None:
    asked = evaluation(0)
    with engine.begin() as connection:
        number = evaluations.begin(connection, asked)
        evaluations.add_samples(connection, number, samples(asked), 1.0, BUDGET)
        said = Verdicts([0, 0], [0, 1], [1.0, 0.0], ["1/2", "x"], ["0.5", ""], [False, True])
        evaluations.set_verdicts(connection, number, "math_verify", replace(said, score=[0.0, 0.0]))
        evaluations.set_verdicts(connection, number, "math_verify", said)
    with open_reader(database_url) as reader:
        assert queries.evaluation_scorers(reader, number) == {"math_verify": 2, evaluations.REWARD: 9}
        scores = queries.evaluation_scores(reader, number, "math_verify")
        assert scores.score[:2].tolist() == [1.0, 0.0]
        assert scores.vote[:2] == ["0.5", ""]
        assert all(map(math.isnan, scores.score[2:]))
        first, second = queries.evaluation_samples(reader, number)[:2]
        assert set(first.verdicts) == {"math_verify", evaluations.REWARD}
        assert (second.verdicts["math_verify"].found, second.verdicts["math_verify"].failed) == ("x", True)


def test_what_is_superseded_does_not_count(database_url: str) -> None:
    training = trained(database_url, steps=4, evaluated_at=(1, 2, 4))
    training.step = 2
    with writing(database_url, training, resume_step=2) as writer:
        writer.submit(training.advance())
        writer.submit(training.advance())
        writer.evaluate(evaluated(4))
    with open_reader(database_url) as reader:
        found = [(row.step, row.attempt) for row in queries.evaluations(reader, 1)]
    assert found == [(1, 1), (2, 1), (4, 2)]


def test_a_sample_that_failed_is_replaced_by_one_that_did_not(engine: Engine, database_url: str) -> None:
    asked = evaluation(0)
    with engine.begin() as connection:
        number = evaluations.begin(connection, asked)
        evaluations.add_samples(connection, number, samples(asked, [2, 3]), 1.0, BUDGET)
        better = samples(replace(asked, wanted=5), [3])
        evaluations.add_samples(connection, number, better, 2.0, BUDGET)
        evaluations.add_samples(connection, number, samples(asked, [3]), 3.0, BUDGET)
    with open_reader(database_url) as reader:
        (row,) = queries.evaluations(reader, None)
        assert (row.samples, row.answered) == (6, 6)
        assert [each.finish for each in queries.evaluation_samples(reader, number, place=0)] == [Finish.STOP] * 2


def test_texts_keep_to_their_budget_and_those_of_the_oldest_evaluations_go(engine: Engine, database_url: str) -> None:
    trained(database_url, steps=1)
    with engine.begin() as connection:
        for step in (1, 2, 3):
            asked = evaluation(step)
            number = evaluations.begin(connection, asked, 1, 1)
            evaluations.add_samples(connection, number, samples(asked, [0, 1]), 1.0, budget=700)
            evaluations.add_samples(connection, number, samples(asked, [2, 3]), 1.0, budget=700)
    with open_reader(database_url) as reader:
        kept = [
            sum(row.response is not None for row in queries.evaluation_samples(reader, each.id))
            for each in queries.evaluations(reader, 1)
        ]
        assert queries.evaluation_samples(reader, number)[0].verdicts
    assert kept == [0, 9, 9]


def test_models_of_no_run_have_a_budget_each_and_nothing_goes_before_it_is_asked(
    engine: Engine, database_url: str
) -> None:
    numbers = {}
    with engine.begin() as connection:
        for model, step in (("a", 0), ("a", 1), ("b", 0)):
            asked = evaluation(step, model=model)
            numbers[model, step] = evaluations.begin(connection, asked)
            evaluations.add_samples(connection, numbers[model, step], samples(asked), 1.0, budget=None)
        evaluations.trim(connection, numbers["a", 1], budget=1)
    with open_reader(database_url) as reader:
        kept = {
            of: sum(row.response is not None for row in queries.evaluation_samples(reader, number))
            for of, number in numbers.items()
        }
    assert kept == {("a", 0): 0, ("a", 1): 9, ("b", 0): 9}


def test_without_a_budget_no_text_is_kept(database_url: str) -> None:
    with writing(database_url, Training(), rollout_budget_mb=0) as writer:
        writer.evaluate(evaluated(0))
    with open_reader(database_url) as reader:
        assert {row.response for row in queries.evaluation_samples(reader, 1)} == {None}


def test_a_benchmark_of_many_problems_is_registered_in_parts(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_spo.store.prompts._CHUNK", 3)
    asked = evaluation(0, problems=7)
    with engine.begin() as connection:
        number = evaluations.begin(connection, asked)
    with open_reader(database_url) as reader:
        truths = [row.ground_truth for row in queries.evaluation_problems(reader, number)]
    assert truths == [problem.ground_truth for problem in asked.problems]


def test_one_transaction_may_have_several_benchmarks(engine: Engine, database_url: str) -> None:
    """As a validation of several data sources leaves them to the writer."""
    others = pool(3)
    with engine.begin() as connection:
        for name, problems in (("aime_2024", evaluation().problems), ("aime_2025", others)):
            evaluations.begin(connection, replace(evaluation(0), benchmark=name, problems=problems))
    with open_reader(database_url) as reader:
        assert {row.benchmark for row in queries.evaluations(reader, None)} == {"aime_2024", "aime_2025"}


def test_runs_do_not_see_each_others_evaluations(database_url: str) -> None:
    trained(database_url, steps=1, evaluated_at=(1,))
    trained(database_url, steps=1, run=info("other", "b" * 32), evaluated_at=(1,))
    with open_reader(database_url) as reader:
        assert [len(queries.evaluations(reader, run)) for run in (1, 2)] == [1, 1]


def test_a_validation_of_unequally_repeated_rows_is_complete(engine: Engine, database_url: str) -> None:
    asked = evaluation(1, wanted=4)
    fewer = samples(asked, [0, 1])
    with engine.begin() as connection:
        for origin in Origin:
            number = evaluations.begin(connection, replace(asked, origin=origin))
            evaluations.add_samples(connection, number, fewer, 1.0, BUDGET)
    with open_reader(database_url) as reader:
        assert {row.origin: row.complete for row in queries.evaluations(reader, None)} == {
            Origin.VALIDATION: True,
            Origin.EVALUATION: False,
        }


def test_samples_of_what_is_settled_are_not_counted_again(engine: Engine, database_url: str) -> None:
    asked = evaluation(0, origin=Origin.EVALUATION)
    with engine.begin() as connection:
        number = evaluations.begin(connection, asked)
        evaluations.add_samples(connection, number, samples(asked, [0, 1]), 1.0, BUDGET)
    with open_reader(database_url) as reader:
        (before,) = queries.evaluations(reader, None)
        assert (before.samples, before.settled) == (6, False)
        with engine.begin() as connection:
            evaluations.add_samples(connection, number, samples(asked), 1.0, BUDGET)
        assert [row.samples for row in queries.evaluations(reader, None, known=[before])] == [12]
        settled = replace(before, samples=99, answered=99)
        assert [row.samples for row in queries.evaluations(reader, None, known=[settled])] == [99]
        assert [row.samples for row in queries.evaluations(reader, None, known=[replace(settled, wanted=5)])] == [12]


def test_evaluations_are_found_by_origin_and_step(database_url: str) -> None:
    trained(database_url, steps=2, evaluated_at=(1, 2))
    with open_reader(database_url) as reader:
        assert [row.step for row in queries.evaluations(reader, 1, Origin.VALIDATION, 2)] == [2]
        assert queries.evaluations(reader, 1, Origin.EVALUATION) == []


@pytest.mark.parametrize("run_id", [None, 1])
def test_several_processes_answer_one_evaluation(engine: Engine, database_url: str, run_id: int | None) -> None:
    trained(database_url, steps=1)
    asked = evaluation(0, problems=20, origin=Origin.EVALUATION)
    together = Barrier(4)

    def answer(seed: int) -> None:
        own = open_engine(database_url)
        together.wait()
        with own.begin() as connection:
            number = evaluations.begin(connection, asked, run_id, None if run_id is None else 1)
        together.wait()
        for numbers in ([0, 1], [1, 2, 3]):
            with own.begin() as connection:
                evaluations.add_samples(connection, number, samples(asked, numbers, seed), 1.0, BUDGET)
        own.dispose()

    with ThreadPoolExecutor(4) as processes:
        list(processes.map(answer, range(4)))
    with open_reader(database_url) as reader:
        (row,) = [each for each in queries.evaluations(reader, run_id) if each.step == 0]
        assert (row.samples, row.answered) == (80, 60)
        assert sum(queries.evaluation_scorers(reader, row.id).values()) == 60
