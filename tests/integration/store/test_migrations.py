"""The schema: made, checked, upgraded and taken back, with data in it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from tests.support.databases import migrate
from tests.support.stores import Training, info, start, trained
from verl_spo.errors import SchemaError, StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.database import schema_version
from verl_spo.store.database.connections import check_writable, open_engine, writable_engine
from verl_spo.store.database.urls import parse
from verl_spo.store.records import Parent
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import HEAD, REVISIONS, Base


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database without any table."""
    name = "sqlite_url" if request.param == "sqlite" else "empty_postgres_url"
    return str(request.getfixturevalue(name))


def connect(url: str) -> Connection:
    return writable_engine(parse(url)).connect()


def test_the_list_of_revisions_is_that_of_the_scripts() -> None:
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", "verl_spo.store:migrations")
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == REVISIONS


def test_the_models_are_what_the_migrations_make(empty_url: str) -> None:
    migrate(empty_url)
    with connect(empty_url) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _is_ours, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def _is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
    # SQLite's full-text index is a virtual table, which no model describes.
    return not (kind == "table" and (name or "").startswith("prompt_search"))


def test_up_down_and_up_again_with_data(empty_url: str) -> None:
    migrate(empty_url)
    trained(empty_url, steps=3, texts=True)
    with connect(empty_url) as connection:
        schema_version.downgrade(connection, "base")
        left = set(inspect(connection).get_table_names()) - {"alembic_version"}
        assert left == set()
        connection.rollback()
        schema_version.upgrade(connection)
    training = trained(empty_url, steps=2)
    with open_reader(empty_url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == training.step


def test_the_second_revision_renames_columns_and_keeps_what_is_in_them(empty_url: str) -> None:
    migrate(empty_url)
    trained(empty_url, steps=3)
    now = "SELECT run, step, seq, policy_change, uid, superseded FROM observation_history ORDER BY step, seq"
    with connect(empty_url) as connection:
        before = connection.execute(text(now)).all()
        connection.rollback()
        schema_version.downgrade(connection, "0001")
        former = now.replace("policy_change, uid", "drift, session")
        assert connection.execute(text(former)).all() == before
        connection.rollback()
        schema_version.upgrade(connection)
        assert connection.execute(text(now)).all() == before
    assert any(row.policy_change is not None for row in before)
    assert len({row.uid for row in before}) == len(before) > 0


def test_the_third_revision_adds_parents_and_keeps_the_runs(empty_url: str) -> None:
    migrate(empty_url)
    trained(empty_url, steps=3)
    branched = info("demo/branch", "b" * 32, parent=Parent("a" * 32, "demo/spo", 3))
    start(empty_url, Training(), branched).close(Status.FINISHED)
    now = "SELECT name, parent_uid, parent_name, parent_step FROM runs ORDER BY name"
    history = "SELECT run, step, seq, reward FROM observation_history ORDER BY step, seq"
    with connect(empty_url) as connection:
        before = connection.execute(text(history)).all()
        assert connection.execute(text(now)).all() == [
            ("demo/branch", "a" * 32, "demo/spo", 3),
            ("demo/spo", None, None, None),
        ]
        connection.rollback()
        schema_version.downgrade(connection, "0002")
        assert not {"parent_uid", "parent_name", "parent_step"} & {
            column["name"] for column in inspect(connection).get_columns("runs")
        }
        assert connection.execute(text("SELECT name, last_step FROM runs ORDER BY name")).all() == [
            ("demo/branch", 3),
            ("demo/spo", 3),
        ]
        connection.rollback()
        schema_version.upgrade(connection)
        assert connection.execute(text(now)).all() == [
            ("demo/branch", None, None, None),
            ("demo/spo", None, None, None),
        ]
        assert connection.execute(text(history)).all() == before


def test_the_fifth_revision_makes_room_for_samples_and_leaves_all_else(empty_url: str) -> None:
    migrate(empty_url)
    trained(empty_url, steps=3, evaluated_at=(1, 3))
    history = "SELECT run, step, seq, reward FROM observation_history ORDER BY step, seq"
    with connect(empty_url) as connection:
        before = connection.execute(text(history)).all()
        connection.rollback()
        schema_version.downgrade(connection, "0004")
        assert not {"samples", "verdicts"} & set(inspect(connection).get_table_names())
        connection.rollback()
        schema_version.upgrade(connection)
        assert connection.execute(text(history)).all() == before
        assert connection.execute(text("SELECT count(*) FROM samples")).scalar_one() == 0


def test_the_sixth_revision_adds_how_sessions_went_and_keeps_the_observations(empty_url: str) -> None:
    migrate(empty_url)
    trained(empty_url, steps=3, texts=True)
    history = "SELECT run, step, seq, reward, uid FROM observation_history ORDER BY step, seq"
    sessions = "SELECT finish, seconds, turns FROM observation_history"
    with connect(empty_url) as connection:
        before = connection.execute(text(history)).all()
        assert any(row.turns for row in connection.execute(text(sessions)))
        connection.rollback()
        schema_version.downgrade(connection, "0005")
        assert connection.execute(text(history)).all() == before
        assert not {"finish", "seconds", "turns"} & {
            column["name"] for column in inspect(connection).get_columns("observation_history")
        }
        connection.rollback()
        schema_version.upgrade(connection)
        assert connection.execute(text(history)).all() == before
        assert set(connection.execute(text(sessions))) == {(None, None, None)}
    with open_reader(empty_url) as reader:
        assert queries.prompt_history(reader, 1, 1)[:1] == queries.prompt_history(reader, 1, 1, limit=1)


def test_the_seventh_revision_drops_the_orders_and_keeps_the_state(empty_url: str) -> None:
    migrate(empty_url)
    training = trained(empty_url, steps=3)
    state = "SELECT * FROM tracker_state ORDER BY prompt_id"
    with connect(empty_url) as connection:
        before = connection.execute(text(state)).all()
        connection.rollback()
        schema_version.downgrade(connection, "0006")
        former = connection.execute(text(state)).all()
        assert len(inspect(connection).get_indexes("tracker_state")) == 5
        connection.rollback()
        schema_version.upgrade(connection)
        assert connection.execute(text(state)).all() == before
        assert inspect(connection).get_indexes("tracker_state") == []
    value, n_eff = training.tracker.value(), training.tracker.n_eff()
    np.testing.assert_allclose([row.value for row in former], value)
    np.testing.assert_allclose([row.evidence for row in former], np.log(n_eff))
    np.testing.assert_allclose([row.uncertainty for row in former], np.log(value * (1 - value) / n_eff))


def test_upgrading_what_is_up_to_date_changes_nothing(database_url: str) -> None:
    trained(database_url, steps=2)
    migrate(database_url)
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == 2


def test_a_new_sqlite_file_is_made_and_migrated(sqlite_url: str) -> None:
    check_writable(sqlite_url)
    with open_reader(sqlite_url) as reader:
        assert queries.runs(reader) == []


def test_a_check_that_is_to_make_no_file_makes_none(sqlite_url: str, tmp_path: Path) -> None:
    check_writable(sqlite_url, make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_postgres_database_without_a_schema_is_refused(empty_postgres_url: str) -> None:
    for opening in (open_engine, open_reader):
        with pytest.raises(SchemaError, match="has no verl-spo schema; run `verl-spo db upgrade`"):
            opening(empty_postgres_url)


def test_somebody_elses_sqlite_file_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    with connect(url) as connection:
        connection.execute(text("CREATE TABLE mine (a INTEGER)"))
        connection.commit()
    with pytest.raises(SchemaError, match="no verl-spo schema"):
        open_engine(url)
    with connect(url) as connection:
        assert inspect(connection).get_table_names() == ["mine"]


def test_an_older_schema_is_refused_with_the_remedy(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _set_revision(database_url, "0000")
    monkeypatch.setattr(schema_version, "REVISIONS", ("0000", *REVISIONS))
    for opening in (open_engine, open_reader):
        with pytest.raises(SchemaError, match=f"schema is 0000, older than {HEAD}; run `verl-spo db upgrade`"):
            opening(database_url)


def test_a_newer_schema_is_refused(database_url: str) -> None:
    _set_revision(database_url, "9999")
    for opening in (open_engine, open_reader):
        with pytest.raises(SchemaError, match=f"schema is 9999, newer than {HEAD}; use the version of verl-spo"):
            opening(database_url)


def test_a_newer_schema_is_not_upgraded(database_url: str) -> None:
    _set_revision(database_url, "9999")
    with pytest.raises(SchemaError, match=f"schema is 9999, newer than {HEAD}; use the version of verl-spo"):
        migrate(database_url)


def _set_revision(url: str, revision: str) -> None:
    open_engine(url).dispose()
    with connect(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        connection.commit()


def test_reading_what_does_not_exist_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        open_reader(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_the_migrations_are_found_from_any_folder(tmp_path: Path) -> None:
    code = "from verl_spo.store.database.connections import check_writable; check_writable('sqlite:///here.db')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "here.db").is_file()


def test_the_view_for_people_tells_what_is_superseded(database_url: str) -> None:
    training = trained(database_url, steps=3)
    trained(database_url, steps=1)
    with open_engine(database_url).connect() as connection:
        rows = connection.execute(text("SELECT run, step, superseded FROM observation_history")).all()
    assert {row.run for row in rows} == {"demo/spo"}
    assert sorted({(row.step, bool(row.superseded)) for row in rows}) == [(1, False), (1, True), (2, True), (3, True)]
    assert training.step == 3
