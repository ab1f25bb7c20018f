"""The page of the system."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun
from tests.support.stores import POOL, Training, info, start
from tests.support.watched import Story
from verl_spo import __version__
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import HEAD

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]


def tables(app: AppTest) -> dict[str, Any]:
    return {table.value.columns[0]: table.value for table in app.dataframe}


def test_a_run_that_trains_shows_its_writer_its_host_and_its_attempts(url: str, open_page: Open) -> None:
    Story(steps=4).train(url, versions={"verl": "0.9.1"})
    training = Training()
    for _ in range(2):
        training.advance()
    writer = start(url, training, info(versions={"verl": "0.9.2"}, host="node-2"), resume_step=2)
    writer.submit(training.advance())
    writer.log(3, {"perf/throughput": 900.0, "perf/mfu/actor": 0.4, "spo/store/queue_depth": 3.0})
    writer.flush()
    app = open_page("system", run="demo/spo")
    writer.close(Status.FINISHED)
    assert not app.exception
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Last write"].endswith("s ago")
    assert figures["Waiting records"] == "3"
    assert figures["Texts kept"] == "0 B of 256.0 MiB"
    assert figures["Free disk"] == "300.0 GiB"
    attempts, software = tables(app)["Attempt"], tables(app)["Package"]
    assert attempts["Host"].tolist() == ["node-1", "node-2"]
    assert attempts["From"].tolist() == ["the beginning", "step 2"]
    assert attempts["Counts until"].tolist() == ["step 2", ""]
    assert attempts["Commit"].tolist() == ["0" * 12] * 2
    assert software.to_numpy().tolist() == [["verl", "0.9.1", "0.9.2"]]
    assert len(app.get("vega_lite_chart")) == 4


def test_the_database_is_measured(url: str, open_page: Open) -> None:
    Story(steps=4).train(url)
    app = open_page("system", run="demo/spo")
    rows = tables(app)["Table"].set_index("Table")["Rows"].to_dict()
    assert (rows["runs"], rows["tracker_state"], rows["step_summaries"]) == (1, POOL, 4)
    assert any(f"· schema {HEAD}" in text.value for text in app.text)
    assert {metric.label: metric.value for metric in app.metric}["Last write"] == "has ended"


def test_the_servers_own_versions_are_there(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").train(1).close()
    shown = " ".join(each.value for each in open_page("system", run="a").text)
    assert f"verl-spo {__version__}" in shown
    assert f"SQLite {sqlite3.sqlite_version}" in shown


def test_a_run_that_starts_has_no_attempt_yet(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").close()
    starts.begin(open_engine(url), "new", "elsewhere:1:2:3:4", "loading the model")
    app = open_page("system", run="new")
    assert not app.exception
    captions = [caption.value for caption in app.caption]
    assert "No trainer has held this run yet." in captions
    assert "No step has ended yet." in captions


@pytest.mark.parametrize("address", [{"run": "no such run"}, {"run": ["a", "b"]}, {}])
def test_a_bad_address_is_no_error(url: str, open_page: Open, address: dict[str, Any]) -> None:
    PlausibleRun(url, name="a").train(1).close()
    assert not open_page("system", **address).exception


def test_a_metric_with_a_hostile_name_is_a_chart(url: str, open_page: Open) -> None:
    run = PlausibleRun(url, name="a").train(2)
    run.writer.log(2, {"perf/<b>**x**</b>": 1.0})
    run.close()
    app = open_page("system", run="a")
    assert not app.exception
    assert "**x**" not in "".join(each.value for each in (*app.markdown, *app.caption))
