"""The commands on the database: what people see, what programs read, and how they fail."""

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.support.stores import BATCH, POOL, Training, info, pool, start, trained
from verl_spo.cli.main import app
from verl_spo.cli.terminal import printable
from verl_spo.errors import SchemaError, StoreError
from verl_spo.store.database.connections import open_engine, writing
from verl_spo.store.database.urls import describe, parse
from verl_spo.store.records import Parent, PromptRecord
from verl_spo.store.runs import starts
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import HEAD

CHANGING = [
    ["runs", "rename", "a", "b"],
    ["runs", "tag", "a", "b"],
    ["runs", "delete", "a", "--yes"],
    ["db", "prune", "--superseded", "--yes"],
    ["db", "vacuum"],
]
"""Commands that change what is there already."""


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The database is named by the variable; tables are wide enough not to be cut."""
    monkeypatch.setenv("VERL_SPO_DB", database_url)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def training(database_url: str) -> Training:
    """A run of ten steps."""
    return trained(database_url, steps=10, texts=True)


def invoke(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=answer)


def output(*arguments: str, answer: str | None = None) -> str:
    result = invoke(*arguments, answer=answer)
    assert result.exit_code == 0, result.output
    return result.output


def document(*arguments: str) -> Any:
    return json.loads(output(*arguments, "--json"))


def test_runs_are_listed_and_shown(training: Training) -> None:
    assert "demo/spo" in output("runs", "list")
    (run,) = document("runs", "list")
    assert (run["name"], run["status"], run["last_step"], run["pool_size"]) == ("demo/spo", "finished", 10, POOL)
    assert document("runs", "list", "--search", "nothing") == []
    shown = document("runs", "show", "demo/spo")
    assert shown["attempts"][0]["config"] == {"trainer": {"total_training_steps": 100}}
    assert "0.9.1" in output("runs", "show", "demo/spo")


def test_a_run_that_branched_names_its_parent(training: Training, database_url: str) -> None:
    parent = Parent("a" * 32, "demo/spo", 10)
    start(database_url, training, info("demo/branch", "b" * 32, parent=parent)).close(Status.FINISHED)
    branch, before = document("runs", "list")
    assert (branch["parent_uid"], branch["parent_name"], branch["parent_step"]) == ("a" * 32, "demo/spo", 10)
    assert (before["parent_uid"], before["parent_name"], before["parent_step"]) == (None, None, None)
    assert document("runs", "show", "demo/branch")["run"] == branch
    assert re.search(r"branched from +│ demo/spo, step 10", output("runs", "show", "demo/branch"))
    assert "branched" not in output("runs", "show", "demo/spo")


def test_a_run_that_starts_is_shown_with_its_phase_and_one_that_failed_with_its_error(
    training: Training, database_url: str
) -> None:
    engine = open_engine(database_url)
    starts.begin(engine, "demo/new", "elsewhere:1:2:3:4", "loading the model")
    assert "starting: loading the model" in output("runs", "show", "demo/new")
    assert "starting" in output("runs", "list")
    starts.end(engine, "demo/new", "elsewhere:1:2:3:4", "RewardError: no model\nraised in TaskRunnerV1")
    assert "\nRewardError: no model\nraised in TaskRunnerV1\n" in output("runs", "show", "demo/new")
    assert document("runs", "show", "demo/new")["run"]["status"] == "failed"


def test_runs_are_tagged_renamed_and_deleted(training: Training) -> None:
    assert output("runs", "tag", "demo/spo", "good", "first") == "demo/spo: first, good\n"
    assert output("runs", "tag", "demo/spo", "--remove", "first") == "demo/spo: good\n"
    assert [run["name"] for run in document("runs", "list", "--tag", "good")] == ["demo/spo"]
    assert output("runs", "rename", "demo/spo", "demo/best") == "demo/spo is now demo/best\n"
    assert invoke("runs", "delete", "demo/best", answer="n\n").exit_code == 1
    assert "demo/best is deleted" in output("runs", "delete", "demo/best", answer="y\n")
    assert document("runs", "list") == []


def test_prompts_are_ranked_by_the_tracker(training: Training) -> None:
    value, visits = training.tracker.value(), training.tracker.visits
    hardest = document("prompts", "hardest", "demo/spo", "--limit", "5")
    assert [row["value"] for row in hardest] == sorted(value[visits > 0])[:5]
    easiest = document("prompts", "easiest", "demo/spo", "--limit", "5", "--min-visits", "2")
    assert [row["value"] for row in easiest] == sorted(value[visits > 1], reverse=True)[:5]
    stale = document("prompts", "stale", "demo/spo", "--limit", str(POOL))
    assert [row["last_step"] for row in stale] == sorted(training.tracker.last_step)
    assert {row["data_source"] for row in document("prompts", "hardest", "demo/spo", "--source", "algebra")} == {
        "algebra"
    }
    first = output("prompts", "hardest", "demo/spo", "--limit", "2")
    assert f"the first 2 of {(visits > 0).sum()}; --limit shows more" in first


def test_prompts_are_searched(training: Training) -> None:
    (row,) = document("prompts", "search", "demo/spo", '"what is 17"')
    assert row["text"] == pool()[17].messages[-1]["content"]
    assert row["digest"] == pool()[17].digest.hex()
    rows = document("prompts", "search", "demo/spo", "what", "--sort", "visits", "--descending", "--limit", "3")
    assert [row["visits"] for row in rows] == sorted(training.tracker.visits, reverse=True)[:3]
    assert "What is 17 +" in output("prompts", "search", "demo/spo", "17")


def test_what_a_data_set_says_does_not_steer_the_terminal(database_url: str) -> None:
    from verl_spo.config import StoreConfig
    from verl_spo.store import open_writer

    training = Training(size=1)
    hostile = "\x1b[31mred\x1b[0m [bold]x[/] \x07"
    prompts = [PromptRecord(b"0" * 16, hostile, [{"role": "user", "content": hostile}], hostile)]
    open_writer(StoreConfig(url=database_url), info(), prompts, training.rows(), None).close(Status.FINISHED)
    shown = output("prompts", "stale", "demo/spo")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]x[/]" in shown


def test_every_command_prints_json(training: Training, database_url: str) -> None:
    assert document("runs", "tag", "demo/spo", "good") == {"run": "demo/spo", "tags": ["good"]}
    assert document("runs", "rename", "demo/spo", "best") == {"run": "best", "was": "demo/spo"}
    exported = document("export", "best", "--to", "csv")
    assert (exported["folder"], exported["format"]) == ("best", "csv")
    assert exported["rows"]["observations"] == 10 * BATCH
    assert document("import", "best", "--as", "copy") == {"run": "copy"}
    Path("scores.json").write_text(json.dumps({pool()[3].digest.hex(): [1], "other": [0]}))
    assert document("import", "scores.json", "--as", "offline") == {"run": "offline", "known": 1, "unknown": 1}
    assert document("runs", "delete", "copy", "--yes") == {"run": "copy", "deleted": True}
    current = document("db", "current")
    assert current == {"database": describe(parse(database_url)), "schema": HEAD, "used": HEAD}
    assert document("db", "upgrade") == {"database": current["database"], "before": HEAD, "schema": HEAD}
    pruned = document("db", "prune", "--keep-rollouts", "4", "--dry-run")
    assert pruned["rows"] == {"rollouts": 6 * BATCH, "sample_texts": 0}
    assert (pruned["runs"], pruned["deleted"]) == (2, False)
    assert document("db", "prune", "--keep-rollouts", "4", "--yes") == {**pruned, "deleted": True}
    assert set(document("db", "vacuum")) == {"before", "after"}


def test_a_question_is_none_of_what_programs_read(training: Training) -> None:
    result = invoke("runs", "delete", "demo/spo", "--json", answer="y\n")
    # The runner, as a terminal does, shows the answer.
    assert json.loads(result.stdout.removeprefix(" y\n")) == {"run": "demo/spo", "deleted": True}
    assert "Delete demo/spo (10 steps, 40 prompts) for good?" in result.stderr


def test_numbers_are_whole_on_a_narrow_terminal(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = output("prompts", "hardest", "demo/spo", "--limit", "5")
    assert len(re.findall(r"\d\.\d{3} +│ +\d\.\d\d-\d\.\d\d +│ +\d+\.\d +│ +\d+ +│ +\d+ ", shown)) == 5


def test_no_prompts_are_told_in_a_line(training: Training) -> None:
    assert output("prompts", "search", "demo/spo", "nothing") == "no such prompts in demo/spo\n"
    assert document("prompts", "search", "demo/spo", "nothing") == []


HOSTILE = ["[red]", "[/]", "[bold red]x[/] \x1b[31m\x07\n"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_run_is_called_does_not_steer_the_terminal(sqlite_url: str, name: str) -> None:
    trained(sqlite_url, steps=2, run=info(name))
    commands = [
        (["runs", "list"], None),
        (["runs", "show", name], None),
        (["runs", "tag", name, name], None),
        (["db", "stats"], None),
        (["export", name, "--out", name], None),
        (["import", name, "--as", f"{name} again"], None),
        (["runs", "rename", f"{name} again", f"{name} renamed"], None),
        (["runs", "delete", f"{name} renamed"], "y\n"),
    ]
    for command, answer in commands:
        shown = output(*command, "--db", sqlite_url, answer=answer)
        # As it is, but for what a terminal would not show.
        assert printable(name).rstrip() in shown, command
        assert not {"\x1b", "\x07"} & {*shown}, command


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_file_is_called_does_not_steer_the_terminal(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_spo.training.plugin_check.check", lambda: None)
    monkeypatch.setattr("verl_spo.training.plugin_check.check_registrations", lambda: None)
    for place in (f"{tmp_path}/{name}.db", f"{tmp_path}/{name}/none.db"):
        shown = invoke("doctor", "--db", f"sqlite:///{place}").output
        assert printable(name).rstrip() in shown
        assert not {"\x1b", "\x07"} & {*shown}


def test_an_error_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["runs", "list", "--db", "sqlite:////nowhere/[red]\x1b[31m.db"])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "/nowhere/[red] [31m.db" in shown
    assert "\x1b" not in shown


def test_the_database_is_measured_pruned_and_vacuumed(training: Training, database_url: str) -> None:
    trained(database_url, steps=2)
    stats = document("db", "stats")
    assert stats["runs"] == [
        {
            "name": "demo/spo",
            "observations": 12 * BATCH,
            "superseded": 10 * BATCH,
            "rollout_bytes": stats["runs"][0]["rollout_bytes"],
        }
    ]
    assert "observations" in output("db", "stats")
    assert invoke("db", "prune").exit_code == 2
    assert f"{10 * BATCH}" in output("db", "prune", "--superseded", "--dry-run")
    assert invoke("db", "prune", "--superseded", answer="n\n").exit_code == 1
    assert document("db", "stats")["runs"][0]["superseded"] == 10 * BATCH
    assert "deleted" in output("db", "prune", "--superseded", "--run", "demo/spo", "--yes")
    assert "deleted" not in output("db", "prune", "--superseded", "--keep-rollouts", "5", "--yes")
    assert document("db", "stats")["runs"][0]["observations"] == 2 * BATCH
    assert "->" in output("db", "vacuum")


def test_the_schema_is_made_and_told(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> None:
    empty = f"sqlite:///{tmp_path}/new.db"
    if database_url.startswith("postgresql"):
        empty = request.getfixturevalue("empty_postgres_url")
    else:
        assert "no such file" in str(invoke("db", "current", "--db", empty).exception)
        (tmp_path / "new.db").touch()
    result = invoke("db", "current", "--db", empty)
    assert result.exit_code == 1
    assert f"schema none, this verl-spo uses {HEAD}" in result.output
    assert f"schema none -> {HEAD}" in output("db", "upgrade", "--db", empty)
    assert f"schema {HEAD} -> {HEAD}" in output("db", "upgrade", "--db", empty)
    assert f"schema {HEAD}" in output("db", "current", "--db", empty)


@pytest.mark.parametrize("file_format", ["parquet", "csv", "jsonl"])
def test_a_run_is_exported_and_imported(training: Training, file_format: str, tmp_path: Path) -> None:
    assert f"observations.{file_format}" in output("export", "demo/spo", "--to", file_format)
    assert (tmp_path / "demo_spo" / f"observations.{file_format}").is_file()
    assert output("import", "demo_spo", "--as", "copy") == "imported copy\n"
    assert {run["name"] for run in document("runs", "list")} == {"demo/spo", "copy"}
    assert document("prompts", "hardest", "copy") == document("prompts", "hardest", "demo/spo")


def test_offline_values_are_imported(training: Training, tmp_path: Path) -> None:
    (tmp_path / "values.json").write_text(json.dumps({pool()[3].messages[-1]["content"]: [1, 1, 0], "other": [0]}))
    assert isinstance(invoke("import", "values.json").exception, StoreError)
    expected = "imported offline: 1 prompts; 1 of the file's are not in the database\n"
    assert output("import", "values.json", "--as", "offline") == expected
    assert [row["n_eff"] for row in document("prompts", "stale", "offline")] == [8.0]


@pytest.mark.parametrize("n_eff", ["0", "-1", "nan", "inf"])
def test_offline_values_need_evidence(training: Training, tmp_path: Path, n_eff: str) -> None:
    (tmp_path / "values.json").write_text(json.dumps({pool()[3].digest.hex(): [1]}))
    error = invoke("import", "values.json", "--as", "offline", "--n-eff", n_eff).exception
    assert isinstance(error, StoreError)
    assert "must be a number of observations above 0 (--n-eff)" in str(error)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_an_export_to_an_impossible_place_is_refused(training: Training, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    error = invoke("export", "demo/spo", "--out", place).exception
    assert isinstance(error, StoreError)
    assert f"folder {place}: cannot be written (" in str(error)
    assert "name another one (--out)" in str(error)


def test_what_is_to_be_imported_has_to_be_there(tmp_path: Path) -> None:
    error = invoke("import", "nosuch", "--db", f"sqlite:///{tmp_path}/none.db").exception
    assert isinstance(error, StoreError)
    assert str(error) == "nosuch: no such file or folder"
    assert not (tmp_path / "none.db").exists()


def test_what_does_not_exist_is_said(database_url: str, tmp_path: Path) -> None:
    for command in (["runs", "show"], ["runs", "tag"], ["prompts", "hardest"], ["export"]):
        open_engine(database_url).dispose()
        error = invoke(*command, "nothing").exception
        assert isinstance(error, StoreError)
        assert "run 'nothing': not in" in str(error)
    error = invoke("runs", "list", "--db", f"sqlite:///{tmp_path}/none.db").exception
    assert "no such file" in str(error)


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_no_command_that_changes_a_database_makes_one(command: list[str], tmp_path: Path) -> None:
    error = invoke(*command, "--db", f"sqlite:///{tmp_path}/none.db").exception
    assert isinstance(error, StoreError)
    assert "no such file; a training run makes it" in str(error)
    assert list(tmp_path.glob("none*")) == []


def journal_mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.mark.parametrize("command", [["runs", "list"], ["db", "current"], *CHANGING], ids=" ".join)
def test_a_foreign_database_is_refused_and_left_as_it_is(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    content = path.read_bytes()
    result = invoke(*command, "--db", f"sqlite:///{path}")
    if command == ["db", "current"]:
        assert "schema none" in result.output
    else:
        assert isinstance(result.exception, SchemaError)
    assert journal_mode(path) == "delete"
    assert path.read_bytes() == content


def test_the_schema_of_a_newer_version_is_told_and_left_alone(database_url: str, tmp_path: Path) -> None:
    with writing(database_url, make=True) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    result = invoke("db", "current")
    assert result.exit_code == 1
    assert f"schema 9999, this verl-spo uses {HEAD}" in result.output
    error = invoke("db", "upgrade").exception
    assert isinstance(error, SchemaError)
    assert f"its schema is 9999, newer than {HEAD}; use the version of verl-spo that made it" in str(error)
    if database_url.startswith("sqlite"):
        assert journal_mode(tmp_path / "store.db") == "delete"


def test_the_schema_on_a_read_only_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(f"sqlite:///{tmp_path}/store.db", steps=1)
    # Root may write anywhere, so permissions alone would show nothing.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    files = sorted(tmp_path.iterdir())
    assert f"schema {HEAD}" in output("db", "current", "--db", f"sqlite:///{tmp_path}/store.db")
    assert sorted(tmp_path.iterdir()) == files


def test_a_live_run_is_not_deleted(database_url: str) -> None:
    writer = start(database_url, Training())
    error = invoke("runs", "delete", "demo/spo", "--yes").exception
    assert "writes it" in str(error)
    writer.close(Status.FINISHED)
