from collections.abc import Callable

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun
from verl_spo.store import open_reader, queries
from verl_spo.store.records import Parent
from verl_spo.store.runs.status import Status

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]


def execute(url: str, statement: str, **values: object) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)
    engine.dispose()


def messages(app: AppTest) -> list[str]:
    return [code.value for code in app.code]


def test_without_a_database_the_page_says_so(open_page: Open) -> None:
    app = open_page("runs")
    assert not app.exception
    assert "no such file" in messages(app)[0]


def test_a_database_without_runs_says_how_to_start_one(url: str, open_page: Open) -> None:
    PlausibleRun(url).close()
    execute(url, "DELETE FROM runs")
    app = open_page("runs")
    assert "No runs yet" in app.info[0].value
    assert messages(app) == ["verl-spo train cpu/arithmetic_spo"]


@pytest.mark.parametrize(
    ("revision", "message"), [("9999", "newer than"), (None, "has no verl-spo schema; run `verl-spo db upgrade`")]
)
def test_a_schema_that_does_not_fit_is_a_message(url: str, open_page: Open, revision: str | None, message: str) -> None:
    PlausibleRun(url).close()
    if revision:
        execute(url, "UPDATE alembic_version SET version_num = :revision", revision=revision)
    else:
        execute(url, "DROP TABLE alembic_version")
    for page in ("runs", "training", "prompts"):
        app = open_page(page)
        assert not app.exception
        assert message in messages(app)[0]


def test_passwords_stay_secret(monkeypatch: pytest.MonkeyPatch, open_page: Open) -> None:
    monkeypatch.setenv("VERL_SPO_DB", "postgresql://me:s3cret@127.0.0.1:1/none")
    app = open_page("runs")
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


def test_ticked_runs_can_be_compared_and_one_browsed(url: str, open_page: Open) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(1).close()
    app = open_page("runs")
    assert [button.disabled for button in app.button] == [True, True]
    app.session_state["ticked"] = ["a"]
    # Another list is another table, which takes over what was ticked.
    PlausibleRun(url, name="c").train(1).close()
    app.run()
    assert [button.disabled for button in app.button] == [False, False]
    app.button[1].click().run()
    assert app.title[0].value == "Prompts"
    assert app.selectbox(key="run").value == "a"


def test_a_deleted_run_is_gone(url: str, open_page: Open) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(1).close()
    app = open_page("runs")
    execute(url, "DELETE FROM runs WHERE name = 'a'")
    assert app.run().dataframe[0].value["name"].tolist() == ["b"]
