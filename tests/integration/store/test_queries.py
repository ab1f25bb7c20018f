"""What pages ask the store, on both databases."""

import dataclasses
import math
import re
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError

from tests.support.stores import BATCH, POOL, Training, info, pool, session, start, trained, writing
from verl_spo.config import StoreConfig
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, open_writer, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.queries import SORTS, Cursor, PromptFilter, PromptRow, RolloutFilter, RolloutRow
from verl_spo.store.records import PromptRecord, TrackerRows
from verl_spo.store.runs import owners
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Base

ROLLOUTS = import_module("verl_spo.store.queries.rollouts")
"""The module: in its package, the query has its name."""


@pytest.fixture
def training(database_url: str) -> Training:
    """A run of ten steps, with texts."""
    return trained(database_url, steps=10, texts=True)


@pytest.fixture
def reader(database_url: str, training: Training) -> Iterator[Reader]:
    """A reader of that run's database."""
    with open_reader(database_url) as opened:
        yield opened


def all_prompts(reader: Reader, limit: int = POOL, **options: object) -> list[PromptRow]:
    """All pages in a row."""
    rows: list[PromptRow] = []
    while True:
        page = queries.prompts(reader, 1, start=len(rows), limit=limit, **options)  # type: ignore[arg-type]
        rows += page.rows
        if not page.rows or len(rows) == page.count:
            assert len(rows) == page.count
            return rows


def test_the_list_of_runs_is_newest_first_and_can_be_searched(database_url: str, reader: Reader) -> None:
    trained(database_url, steps=1, run=info("other/grpo", "b" * 32))
    assert [run.name for run in queries.runs(reader)] == ["other/grpo", "demo/spo"]
    assert [run.name for run in queries.runs(reader, search="SPO")] == ["demo/spo"]
    assert [run.name for run in queries.runs(reader, limit=1)] == ["other/grpo"]
    assert queries.runs(reader, tag="good") == []


def test_runs_can_be_asked_for_by_their_numbers(database_url: str, reader: Reader) -> None:
    trained(database_url, steps=1, run=info("other/grpo", "b" * 32))
    assert [run.name for run in queries.runs(reader, ids=[1])] == ["demo/spo"]
    assert queries.runs(reader, ids=[]) == []


def test_rewards_at_some_steps_are_those_that_count(database_url: str, reader: Reader, training: Training) -> None:
    before = dict(queries.rewards_at(reader, 1, [2, 7, 9, 11]))
    means = {row.step: row.reward_mean for row in queries.step_summaries(reader, 1)}
    assert before == {step: means[step] for step in (2, 7, 9)}
    training.step = 7
    with writing(database_url, training, resume_step=7) as writer:
        writer.submit(training.advance())
    assert [step for step, _ in queries.rewards_at(reader, 1, [2, 7, 8, 9])] == [2, 7, 8]


def test_a_run_that_gives_no_sign_of_life_is_lost(database_url: str, reader: Reader) -> None:
    writer = start(database_url, Training(), run=info("other/spo", "b" * 32))
    assert queries.run(reader, "other/spo").run.status == "running"
    writer.close(Status.STOPPED)
    runs = Base.metadata.tables["runs"]
    with open_engine(database_url).begin() as connection:
        connection.execute(
            runs.update()
            .where(runs.c.name == "other/spo")
            .values(status="running", heartbeat_at=runs.c.heartbeat_at - 2 * owners.LEASE_S)
        )
    assert queries.run(reader, "other/spo").run.status == "lost"


def test_a_run_that_does_not_exist_is_an_error_that_helps(reader: Reader) -> None:
    with pytest.raises(StoreError, match=r"run 'demo/spu': not in .*; there is 'demo/spo'"):
        queries.run(reader, "demo/spu")


def test_metrics_come_once_and_then_only_new_ones(database_url: str) -> None:
    training = Training()
    with writing(database_url, training) as writer, open_reader(database_url) as reader:
        writer.submit(training.advance())
        writer.submit(training.advance())
        writer.flush()
        first = queries.metric_series(reader, [1], ["spo/reward", "spo/p_hats", "unknown"])
        assert {series.name: series.steps.tolist() for series in first.series} == {
            "spo/reward": [1, 2],
            "spo/p_hats": [1, 2],
        }
        writer.submit(training.advance())
        writer.flush()
        second = queries.metric_series(reader, [1], ["spo/reward"], first.cursor)
        assert [series.steps.tolist() for series in second.series] == [[3]]
        assert queries.metric_series(reader, [1], ["spo/reward"], second.cursor).series == ()
        # What the second call did not ask for is not forgotten.
        third = queries.metric_series(reader, [1], ["spo/p_hats"], second.cursor)
        assert [series.steps.tolist() for series in third.series] == [[3]]


def test_metrics_of_several_runs_come_together(database_url: str, reader: Reader) -> None:
    trained(database_url, steps=2, run=info("other/spo", "b" * 32))
    page = queries.metric_series(reader, [1, 2], ["spo/reward"])
    assert {series.run_id: len(series.steps) for series in page.series} == {1: 10, 2: 2}
    assert page.restarted == frozenset()


def test_a_page_learns_that_a_run_went_back(database_url: str, training: Training, reader: Reader) -> None:
    page = queries.metric_series(reader, [1], ["spo/reward"])
    training.step = 7
    with writing(database_url, training, resume_step=7) as writer:
        writer.submit(training.advance())
    again = queries.metric_series(reader, [1], ["spo/reward"], page.cursor)
    assert again.restarted == {1}
    assert [series.steps.tolist() for series in again.series] == [list(range(1, 9))]


def test_a_cursor_goes_on_where_the_limit_cut_off(reader: Reader) -> None:
    cursor, steps = Cursor(), []
    for _ in range(4):
        page = queries.metric_series(reader, [1], ["spo/reward"], cursor, limit=3)
        steps += [step for series in page.series for step in series.steps.tolist()]
        cursor = page.cursor
    assert steps == list(range(1, 11))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_pages_in_any_order_make_up_the_pool(reader: Reader, training: Training, sort: str, descending: bool) -> None:
    rows = all_prompts(reader, limit=7, sort=sort, descending=descending)
    tracker = training.tracker
    n_eff = tracker.n_eff()
    value = tracker.value()
    keys = {
        "value": value,
        "n_eff": n_eff,
        "visits": tracker.visits,
        "last_step": tracker.last_step,
        "uncertainty": value * (1 - value) / n_eff,
    }[sort]
    slots = [row.prompt_id - 1 for row in rows]
    assert sorted(slots) == list(range(POOL))
    np.testing.assert_allclose(keys[slots], sorted(keys, reverse=descending), rtol=1e-12)


def test_a_row_shows_the_prompt_and_the_tracker(reader: Reader, training: Training) -> None:
    row = queries.prompts(reader, 1, "visits", descending=True, limit=1).rows[0]
    slot = row.prompt_id - 1
    assert row == queries.prompt(reader, 1, row.prompt_id)
    assert row.digest == pool()[slot].digest
    assert row.text == pool()[slot].messages[-1]["content"]
    assert row.ground_truth == pool()[slot].ground_truth
    assert row.value == training.tracker.value([slot])[0]
    assert row.n_eff == training.tracker.n_eff([slot])[0]
    assert row.visits == training.tracker.visits[slot]
    assert 0 <= row.low <= row.value <= row.high <= 1


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("where", [PromptFilter(), PromptFilter(source="arithmetic", words="what")])
def test_neighbours_are_those_of_the_pages(reader: Reader, where: PromptFilter, descending: bool) -> None:
    for sort in ("value", "last_step"):
        ids = [row.prompt_id for row in all_prompts(reader, sort=sort, descending=descending, where=where)]
        found = [queries.prompt_neighbours(reader, 1, number, sort, descending, where) for number in ids]
        assert found == list(zip([None, *ids[:-1]], [*ids[1:], None], strict=True))
    assert queries.prompt_neighbours(reader, 1, 99) == (None, None)


def test_a_prompt_is_found_in_all_runs_that_have_it(database_url: str, reader: Reader) -> None:
    trained(database_url, steps=2, run=info("other/spo", "b" * 32))
    newer, older = queries.prompt_in_runs(reader, 7)
    assert (newer.run, older.run) == ("other/spo", "demo/spo")
    own = queries.prompt(reader, 1, 7)
    assert [getattr(older, name) for name in ("value", "low", "high", "n_eff", "visits", "last_step")] == [
        getattr(own, name) for name in ("value", "low", "high", "n_eff", "visits", "last_step")
    ]
    assert len(queries.prompt_in_runs(reader, 7, limit=1)) == 1
    assert queries.prompt_in_runs(reader, 99) == []


def test_a_prompt_of_another_run_is_not_found(reader: Reader) -> None:
    with pytest.raises(StoreError, match="prompt 99: not in the pool of run 1"):
        queries.prompt(reader, 1, 99)


def test_an_unknown_order_is_refused(reader: Reader) -> None:
    with pytest.raises(StoreError, match="sort='name': must be one of value"):
        queries.prompts(reader, 1, "name")  # type: ignore[arg-type]


FILTERS = [
    PromptFilter(),
    PromptFilter(value=(0.4, 0.6)),
    PromptFilter(value=(None, 0.5)),
    PromptFilter(value=(0.5, 1.0)),
    PromptFilter(n_eff=(1.5, None)),
    PromptFilter(n_eff=(0.0, 2.0)),
    PromptFilter(visits=(1, None)),
    PromptFilter(visits=(0, 0)),
    PromptFilter(last_step=(5, 7)),
    PromptFilter(source="algebra"),
    PromptFilter(words="what"),
    PromptFilter(words='"what is" 3*'),
    PromptFilter(source="arithmetic", visits=(2, None), value=(0.2, None), words="is"),
    PromptFilter(words="nowhere"),
]


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_filters_leave_the_right_prompts(reader: Reader, where: PromptFilter) -> None:
    wanted = {row.prompt_id for row in all_prompts(reader) if _passes(row, where)}
    for sort in ("value", "last_step"):
        rows = all_prompts(reader, limit=9, sort=sort, where=where)
        assert [row.prompt_id for row in rows if row.prompt_id in wanted] == [row.prompt_id for row in rows]
        assert {row.prompt_id for row in rows} == wanted
    assert queries.count_prompts(reader, 1, where) == len(wanted)


def _passes(row: PromptRow, where: PromptFilter) -> bool:
    ranges = (
        all(
            (low is None or low <= getattr(row, name)) and (high is None or getattr(row, name) <= high)
            for name in ("value", "n_eff", "visits", "last_step")
            for low, high in [getattr(where, name)]
        )
        and where.value[1] != row.value
    )
    present = re.findall(r"\w+", f"{row.text} {row.ground_truth}".lower())
    found = all(
        any(word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted for word in present)
        for wanted in where.words.replace('"', "").split()
    )
    return ranges and found and where.source in (None, row.data_source)


def test_data_sources_are_those_of_the_runs_own_prompts(database_url: str, reader: Reader) -> None:
    prompts = [dataclasses.replace(each, data_source="geometry", digest=each.digest[::-1]) for each in pool()[:3]]
    rows = TrackerRows(**{name: values[:3] for name, values in vars(Training().rows()).items()})
    open_writer(StoreConfig(url=database_url), info("other", "b" * 32), prompts, rows, None).close(Status.FINISHED)
    assert queries.data_sources(reader, 1) == ["algebra", "arithmetic"]
    assert queries.data_sources(reader, 2) == ["geometry"]


def test_evidence_ages_with_the_runs_clock(database_url: str) -> None:
    training = Training()
    rows = dataclasses.replace(training.rows(), z=np.linspace(0, 1, POOL), alpha=np.full(POOL, 2.0))
    open_writer(StoreConfig(url=database_url), info(), pool(), rows, None, clock=1.5).close(Status.FINISHED)
    with open_reader(database_url) as reader:
        found = all_prompts(reader, sort="n_eff")
        expected = 2.5 * np.exp(np.linspace(0, 1, POOL) - 1.5)
        np.testing.assert_allclose([row.n_eff for row in found], expected)
        cut = float(expected[10])
        kept = all_prompts(reader, sort="value", where=PromptFilter(n_eff=(cut * 0.999, None)))
        assert len(kept) == POOL - 10
        np.testing.assert_allclose(queries.tracker(reader, 1).n_eff(), expected)


def test_words_mean_the_same_on_both_databases(database_url: str) -> None:
    texts = {
        "sum": "What is 12+34, the sum?",
        "other": "What is 12 - 34 (minus)?",
        "longer": "Compute 123 + 345 summed up",
        "triangle": "A TRIANGLE's corners; naïve Größe",
        "chinese": "三角形 的 面积",
        "code": "snake_case x^2 e=mc2 1e5",
        "empty": "",
    }
    records = [
        PromptRecord(name.encode().ljust(16), "words", [{"role": "user", "content": content}], "42")
        for name, content in texts.items()
    ]
    size = len(records)
    flat = np.zeros(size)
    rows = TrackerRows(np.arange(size), flat + 1, flat + 1, flat, flat.astype(int), flat.astype(int))
    open_writer(StoreConfig(url=database_url), info(), records, rows, None).close(Status.FINISHED)
    with open_reader(database_url) as reader:

        def found(words: str) -> set[str]:
            return {row.digest.strip().decode() for row in all_prompts(reader, where=PromptFilter(words=words))}

        assert found("12") == {"sum", "other"}
        assert found("12*") == {"sum", "other", "longer"}
        assert found("12+34") == {"sum", "other"}
        assert found('"12 34 the"') == {"sum"}
        assert found('"34 12"') == set()
        assert found("sum") == {"sum"}
        assert found("sum*") == {"sum", "longer"}
        assert found("triangle Größe") == {"triangle"}
        assert found("naïve") == {"triangle"}
        assert found("naive") == set()
        assert found("三角形") == {"chinese"}
        assert found("case mc2") == {"code"}
        assert found("1e5") == {"code"}
        assert found("42") == set(texts)
        assert found("what what IS") == {"sum", "other"}
        assert found("?!") == set(texts)
        assert found("' OR 1=1 --") == set()
        assert found('" NEAR(12 34) AND OR NOT ( * ^ :') == set()


def test_a_prompts_history_is_latest_first_and_paged(reader: Reader) -> None:
    prompt_id = queries.prompts(reader, 1, "visits", descending=True, limit=1).rows[0].prompt_id
    rows = queries.prompt_history(reader, 1, prompt_id)
    steps = [row.step for row in rows]
    assert steps == sorted(steps, reverse=True)
    assert len(steps) > 2
    assert [row.step for row in queries.prompt_history(reader, 1, prompt_id, limit=2)] == steps[:2]
    assert [row.step for row in queries.prompt_history(reader, 1, prompt_id, before_step=steps[1])] == steps[2:]
    assert queries.prompt_history(reader, 2, prompt_id) == []
    assert math.isclose(rows[0].value, queries.prompt(reader, 1, prompt_id).value)


def test_texts_are_found_by_prompt_and_by_run(reader: Reader) -> None:
    prompt_id = queries.prompts(reader, 1, "visits", descending=True, limit=1).rows[0].prompt_id
    for row in queries.prompt_rollouts(reader, 1, prompt_id):
        assert row.prompt == f"prompt {prompt_id - 1}"
        assert row.response == f"answer {prompt_id - 1} at {row.observation.step}"
    latest = queries.rollouts(reader, 1, limit=BATCH + 1).rows
    assert [row.observation.step for row in latest] == [10] * BATCH + [9]
    assert queries.rollouts(reader, 1, after=(5, 0, 0), limit=1).rows[0].observation.step == 4


def test_a_rollout_tells_how_its_session_went(reader: Reader) -> None:
    for row in queries.rollouts(reader, 1, limit=10 * BATCH).rows:
        seen, slot = row.observation, row.observation.prompt_id - 1
        assert row.data_source == pool()[slot].data_source
        assert row.parts == tuple(session(slot, seen.step) or ())
        known = (("stop", "length")[slot % 3 - 1], slot / 8, 1 + slot % 2)
        assert (seen.finish, seen.seconds, seen.turns) == (known if slot % 3 else (None, None, None))
        assert queries.rollout(reader, 1, *seen.key) == row
        assert seen in queries.prompt_history(reader, 1, seen.prompt_id)


@pytest.mark.parametrize("key", [(11, 1, 0), (1, 2, 0), (1, 1, BATCH)])
def test_a_rollout_that_is_not_there_is_none(reader: Reader, key: tuple[int, int, int]) -> None:
    assert queries.rollout(reader, 1, *key) is None


ROLLOUT_FILTERS = [
    RolloutFilter(),
    RolloutFilter(steps=(3, 5)),
    RolloutFilter(steps=(None, 2)),
    RolloutFilter(reward=(0.5, None)),
    RolloutFilter(length=(20, 60)),
    RolloutFilter(finish="length"),
    RolloutFilter(source="algebra"),
    RolloutFilter(words="answer 7"),
    RolloutFilter(words='"at 1"* PROMPT'),
    RolloutFilter(words="nowhere"),
    RolloutFilter((2, 9), (0.0, 0.5), (1, 80), "stop", "arithmetic", "answer"),
]


@pytest.mark.parametrize("chunk", [3, 500])
@pytest.mark.parametrize("where", ROLLOUT_FILTERS, ids=str)
def test_filters_leave_the_right_rollouts_page_by_page(
    reader: Reader, where: RolloutFilter, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ROLLOUTS, "_CHUNK", chunk)
    everything = queries.rollouts(reader, 1, limit=10 * BATCH).rows
    found, page = [], queries.rollouts(reader, 1, where, limit=4, most=7)
    while page.next is not None:
        assert len(page.rows) <= 4
        assert page.looked_at <= 7
        found += page.rows
        page = queries.rollouts(reader, 1, where, page.next, limit=4, most=7)
    assert found + list(page.rows) == [row for row in everything if _leaves(where, row)]
    assert len(everything) == 10 * BATCH


def _leaves(where: RolloutFilter, row: RolloutRow) -> bool:
    seen = row.observation
    ranges = ((where.steps, seen.step), (where.reward, seen.reward), (where.length, seen.response_length))
    within = all((low is None or low <= value) and (high is None or value <= high) for (low, high), value in ranges)
    exact = where.finish in (None, seen.finish) and where.source in (None, row.data_source)
    words = {"": True, "nowhere": False, "answer": True}
    found = words.get(where.words)
    if where.words == "answer 7":
        found = re.search(r"\b7\b", f"{row.prompt} {row.response}") is not None
    if where.words.endswith("PROMPT"):
        found = seen.step in (1, 10)
    return within and exact and bool(found)


@pytest.mark.parametrize("where", ROLLOUT_FILTERS, ids=str)
def test_a_prompts_rollouts_are_filtered_likewise(reader: Reader, where: RolloutFilter) -> None:
    for prompt_id in range(1, POOL + 1):
        every = queries.prompt_rollouts(reader, 1, prompt_id)
        assert queries.prompt_rollouts(reader, 1, prompt_id, where=where) == [r for r in every if _leaves(where, r)]


def test_a_rare_filter_does_not_read_the_history(reader: Reader) -> None:
    page = queries.rollouts(reader, 1, RolloutFilter(words="nowhere"), most=BATCH + 1)
    assert (page.rows, page.looked_at, page.until_step) == ((), BATCH + 1, 9)
    assert page.next is not None


def test_superseded_rollouts_are_left_out_but_can_be_opened(
    database_url: str, reader: Reader, training: Training
) -> None:
    training.step = 7
    with writing(database_url, training, resume_step=7) as writer:
        writer.submit(training.advance(texts=True))
    rows = queries.rollouts(reader, 1, limit=BATCH + 1).rows
    assert [(row.observation.step, row.observation.attempt) for row in rows] == [(8, 2)] * BATCH + [(7, 1)]
    former = queries.rollout(reader, 1, 10, 1, 0)
    assert former is not None
    assert former.observation.superseded
    assert queries.reward_histogram(reader, 1).counts.sum() == 8 * BATCH


def test_rewards_are_counted_in_bins(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards = [row.observation.reward for row in queries.rollouts(reader, 1, RolloutFilter((2, 5)), limit=100).rows]
    found = queries.reward_histogram(reader, 1, (2, 5), bins=4)
    assert found.counts.tolist() == [rewards.count(0.0), 0, 0, rewards.count(1.0)]
    assert (found.since_step, found.complete) == (2, True)
    monkeypatch.setattr(ROLLOUTS, "_OBSERVATIONS", BATCH + 1)
    found = queries.reward_histogram(reader, 1, (2, 5), bins=4)
    assert (found.counts.sum(), found.since_step, found.complete) == (BATCH + 1, 4, False)
    assert queries.reward_histogram(reader, 1, (50, None)).since_step is None


def test_histograms_come_by_step(reader: Reader) -> None:
    rows = queries.step_summaries(reader, 1)
    assert [row.step for row in rows] == list(range(1, 11))
    assert all(sum(row.value_histogram) == POOL for row in rows)
    assert rows[-1].details == {"n_prompts_visited": int((queries.tracker(reader, 1).visits > 0).sum())}
    assert [row.step for row in queries.step_summaries(reader, 1, after_step=8)] == [9, 10]
    assert [row.step for row in queries.step_summaries(reader, 1, stride=4)] == [4, 8]


def test_nothing_can_be_written_through_a_reader(reader: Reader) -> None:
    for table in Base.metadata.sorted_tables:
        if table.name != "prompt_search":
            with pytest.raises(DBAPIError, match=r"read-?only"), reader._engine.connect() as connection:
                connection.execute(table.delete())


HOSTILE = ["'; DROP TABLE runs; --", '"', "%_%", "\\", "naïve\n☃", "a\0b", "\ud800", "{}", ":name", "%s", "x" * 5000]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_only_names(database_url: str, name: str) -> None:
    training = Training()
    prompts = [PromptRecord(p.digest, name, [{"role": name, "content": name}], name) for p in pool()]
    writer = open_writer(
        StoreConfig(url=database_url),
        info(name, config={name: name}, host=name, versions={name: name}, git={"commit": name}),
        prompts,
        training.rows(),
        None,
    )
    record = training.advance()
    record.observations.uid[:] = [name] * BATCH
    hostile = dataclasses.replace(
        record,
        metrics={name: 1.0},
        summary={"value_histogram": [], name: name},
        observations=dataclasses.replace(record.observations, prompt_text=[name] * BATCH, response_text=[name] * BATCH),
    )
    writer.submit(hostile)
    writer.close(Status.FINISHED)
    with open_reader(database_url) as reader:
        (run,) = queries.runs(reader)
        assert queries.run(reader, run.name).run.last_step == 1
        assert queries.run(reader, name).run.id == 1
        (series,) = queries.metric_series(reader, [1], queries.metric_names(reader, [1])).series
        assert series.values.tolist() == [1.0]
        assert queries.metric_series(reader, [1], [name]).series[0].values.tolist() == [1.0]
        for where in (PromptFilter(words=name), PromptFilter(source=name)):
            queries.prompts(reader, 1, where=where)
            queries.count_prompts(reader, 1, where)
        assert len(queries.prompts(reader, 1, where=PromptFilter(source=name)).rows) == POOL
        assert len(queries.rollouts(reader, 1).rows) == BATCH
        assert queries.runs(reader, search=name, tag=name) == []


def test_sessions_seconds_are_of_those_that_are_known_and_count(database_url: str, training: Training) -> None:
    def known(steps: range) -> list[float]:
        again = Training()
        return sorted(
            seconds
            for step in (again.advance().observations for _ in steps)
            for seconds in step.seconds.tolist()  # type: ignore[union-attr]
            if not math.isnan(seconds)
        )

    with open_reader(database_url) as reader:
        assert sorted(queries.session_seconds(reader, 1)) == known(range(10))
        assert queries.session_seconds(reader, 99).size == 0
    with open_engine(database_url).begin() as connection:
        connection.execute(Base.metadata.tables["attempts"].update().values(kept_through=4))
    with open_reader(database_url) as reader:
        assert sorted(queries.session_seconds(reader, 1)) == known(range(4))
