import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
import streamlit as st
from sqlalchemy import event
from streamlit.testing.v1 import AppTest

from tests.support.benchmarked import benchmarked
from tests.support.plausible import PlausibleRun
from tests.support.watched import COLLAPSED
from verl_spo.store import open_reader, queries
from verl_spo.store.records import Parent
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Run, table_of
from verl_spo_dashboard.overview import Overviews
from verl_spo_dashboard.server import APP

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]

FIRST_COMMANDS = ["verl-spo demo", "verl-spo train cpu/arithmetic_spo"]


def execute(url: str, statement: str, **values: object) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)
    engine.dispose()


def messages(app: AppTest) -> list[str]:
    return [code.value for code in app.code]


def test_without_a_database_the_page_says_so_and_how_to_get_one(url: str, open_page: Open) -> None:
    app = open_page("runs")
    assert not app.exception
    assert not app.error
    assert messages(app) == FIRST_COMMANDS
    assert any(url.removeprefix("sqlite:///") in text.value for text in app.text)
    # It appears by itself.
    PlausibleRun(url, name="new").train(1).close()
    app.run()
    assert not app.exception
    assert app.dataframe[0].value["name"].tolist() == ["new"]


def test_a_database_without_runs_says_how_to_start_one(url: str, open_page: Open) -> None:
    PlausibleRun(url).close()
    execute(url, "DELETE FROM runs")
    app = open_page("runs")
    assert "No runs yet" in app.info[0].value
    assert messages(app) == FIRST_COMMANDS


@pytest.mark.parametrize(
    ("revision", "message"), [("9999", "newer than"), (None, "has no verl-spo schema; run `verl-spo db upgrade`")]
)
def test_a_schema_that_does_not_fit_is_a_message(url: str, open_page: Open, revision: str | None, message: str) -> None:
    PlausibleRun(url).close()
    if revision:
        execute(url, "UPDATE alembic_version SET version_num = :revision", revision=revision)
    else:
        execute(url, "DROP TABLE alembic_version")
    for page in ("runs", "training", "prompts", "compare", "system"):
        app = open_page(page)
        assert not app.exception
        assert message in messages(app)[0]


@pytest.mark.parametrize("page", ["runs", "compare", "system"])
def test_passwords_stay_secret(monkeypatch: pytest.MonkeyPatch, open_page: Open, page: str) -> None:
    monkeypatch.setenv("VERL_SPO_DB", "postgresql://me:s3cret@127.0.0.1:1/none")
    app = open_page(page)
    assert "127.0.0.1" in messages(app)[0]
    assert "s3cret" not in str(app)


def test_every_run_is_listed_with_how_far_it_is(url: str, open_page: Open) -> None:
    with PlausibleRun(url, name="done").train(5):
        pass
    PlausibleRun(url, name="broken", seed=1).train(2).close(Status.FAILED)
    PlausibleRun(url, name="silent", seed=2).close()
    execute(url, "UPDATE runs SET status = 'running', heartbeat_at = heartbeat_at - 3600 WHERE name = 'silent'")
    with PlausibleRun(url, name="live", seed=3).train(3):
        table = open_page("runs").dataframe[0].value.set_index("name")
    assert list(table.index) == ["live", "silent", "broken", "done"]
    assert [list(status) for status in table["status"]] == [["running"], ["lost"], ["failed"], ["finished"]]
    assert table["step"].tolist() == [3, 0, 2, 5]
    with open_reader(url) as reader:
        ids = [run.id for run in queries.runs(reader)]
        last = {s.run_id: s.values[-1] for s in queries.metric_series(reader, ids, ["spo/reward"]).series}
    rewards = dict(zip(ids, table["reward"], strict=True))
    assert {number: rewards[number] for number in last} == pytest.approx(last)
    assert table["reward"].isna().tolist() == [False, True, False, False]


def test_a_run_that_branched_names_its_parent(url: str, open_page: Open) -> None:
    with PlausibleRun(url, name="parent").train(3) as parent:
        assert "parent" not in open_page("runs").dataframe[0].value
    branch = Parent(parent.uid, "parent", 1000)
    with PlausibleRun(url, name="branch", seed=1, parent=branch).train(4):
        pass
    table = open_page("runs").dataframe[0].value.set_index("name")
    assert table["parent"].to_dict() == {"branch": "parent, step 1,000", "parent": ""}
    assert table["step"].to_dict() == {"branch": 1004, "parent": 3}
    # The sketch is of its own steps, all four of them.
    assert [len(sketch) for sketch in table["sketch"]] == [4, 3]


def test_the_best_score_on_a_benchmark_comes_before_validation(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").train(3).close()
    assert not open_page("runs").dataframe[0].value["best"][0].startswith("1.000")
    benchmarked(url, "a", (0, 100))
    st.cache_data.clear()
    first, second = open_page("runs").dataframe[0].value["best"][0].split(" · ")
    assert first == "1.000 aime_2024 avg@8"
    assert second.endswith("arithmetic mean@1")


def test_ticked_runs_can_be_compared_and_one_browsed(url: str, open_page: Open) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(1).close()
    app = open_page("runs")
    assert [button.disabled for button in app.button] == [True, True, True]
    app.session_state["ticked"] = ["a"]
    # Another list is another table, which takes over what was ticked.
    PlausibleRun(url, name="c").train(1).close()
    app.run()
    assert [button.disabled for button in app.button] == [False, False, True]
    app.button[1].click().run()
    assert app.title[0].value == "Prompts"
    assert app.selectbox(key="run").value == "a"


def test_a_deleted_run_is_gone(url: str, open_page: Open) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(1).close()
    app = open_page("runs")
    execute(url, "DELETE FROM runs WHERE name = 'a'")
    assert app.run().dataframe[0].value["name"].tolist() == ["b"]


def test_progress_of_a_run_that_trains(url: str, open_page: Open) -> None:
    with PlausibleRun(url, name="live").train(20):
        seconds = 40.0
        execute(url, "UPDATE step_summaries SET time = time + step * :seconds", seconds=seconds)
        table = open_page("runs").dataframe[0].value
    # Of the 200 steps that its configuration wants.
    assert table["progress"].tolist() == [0.1]
    assert table["speed"].tolist() == pytest.approx([3600 / seconds], rel=0.05)
    assert table["left"].tolist()[0].startswith(("2 h", "1 h 59"))


def test_the_best_validation_names_its_benchmark(url: str, open_page: Open) -> None:
    run = PlausibleRun(url, name="a").train(3)
    run.writer.log(3, {"val-core/aime_2024/acc/mean@32": 0.25, "val-core/aime_2024/acc/best@32/mean": 0.7})
    run.close()
    (best,) = open_page("runs").dataframe[0].value["best"]
    assert best.startswith("0.250 aime_2024 mean@32 · ")
    assert "arithmetic mean@1" in best
    assert "0.700" not in best


def test_runs_are_filtered_by_the_address(url: str) -> None:
    for name, status in (("math/lr 1", Status.FINISHED), ("math/lr 2", Status.FAILED), ("code/lr 1", Status.FINISHED)):
        PlausibleRun(url, name=name).train(1).close(status)
    execute(url, """UPDATE runs SET tags = '["paper"]' WHERE name LIKE 'math%'""")

    def names(**address: str | list[str]) -> list[str]:
        app = AppTest.from_file(APP, default_timeout=60)
        app.query_params.update(address)
        app.run()
        assert not app.exception
        return list(app.dataframe[0].value["name"]) if app.dataframe else []

    assert names(q="1 MATH") == ["math/lr 1"]
    assert names(status=["finished"]) == ["code/lr 1", "math/lr 1"]
    assert names(status=["finished", "failed"], tag=["paper"]) == ["math/lr 2", "math/lr 1"]
    assert names(q="nothing") == []
    assert names(status=["no such"], tag=["none"]) == ["code/lr 1", "math/lr 2", "math/lr 1"]


def test_a_run_that_goes_on_shows_its_worst_alert(url: str, open_page: Open) -> None:
    story = replace(COLLAPSED, ended_at=lambda step: time.time() - 60 + step)
    writer = story.write(url, "live")
    story.train(url, "done", uid="b" * 32)
    table = open_page("runs").dataframe[0].value.set_index("name")
    writer.close(Status.FINISHED)
    assert table["note"].to_dict() == {"done": "", "live": "▲ critical: reward-collapse +1"}


def test_two_hundred_runs_take_a_few_queries(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="run 0").train(2).close()
    copied = ", ".join(column.name for column in table_of(Run).columns if column.name not in ("id", "name"))
    for number in range(1, 201):
        execute(url, f"INSERT INTO runs (name, {copied}) SELECT 'run {number}', {copied} FROM runs WHERE id = 1")
    with open_reader(url) as reader:
        rows, statements = queries.runs(reader), list[str]()
        event.listen(reader._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        overviews = Overviews()
        assert len(overviews.of(reader, rows[:200])) == 200
        selects = [statement for statement in statements if statement.startswith("SELECT")]
        assert len(selects) == 5
        overviews.of(reader, rows[:200])
        assert [statement for statement in statements if statement.startswith("SELECT")] == selects
    app = open_page("runs")
    assert not app.exception
    assert "the newest 200 runs ·" in app.text[-1].value
    app.text_input(key="q").set_value("177").run()
    assert "· 1 run of 1 like that ·" in app.text[-1].value
