"""Runs as files and back: nothing is lost, whatever the format and the databases."""

import dataclasses
import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from tests.support.stores import POOL, Training, evaluated, info, pool, start, trained, writing
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.records import InitScores, Parent
from verl_spo.store.runs.manage import delete_run
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import (
    OF_EVALUATIONS,
    Attempt,
    Evaluation,
    InitScore,
    Metric,
    Observation,
    Prompt,
    Rollout,
    Run,
    Series,
    StepSummary,
    TrackerState,
    table_of,
)
from verl_spo.store.transfer import FORMATS, export_run, formats, import_run, import_scores, layout, manifest
from verl_spo.store.transfer.scores import read_scores


@pytest.fixture
def rich_url(database_url: str) -> str:
    """A database with a run that has all that a run can have, superseded steps included."""
    trained(database_url, steps=1, run=info("other", "b" * 32))
    training = Training()
    writer = start(database_url, training)
    writer.add_init_scores(InitScores([0, 3], [8, 8], [4.0, 1.5]))
    for _ in range(6):
        writer.submit(training.advance(texts=True))
        writer.log(training.step, {"actor/nan": math.nan, "actor/inf": math.inf, 'naïve, "name"\n': -math.inf})
    writer.evaluate(evaluated(3, settings={"n": [1, None]}))
    writer.close(Status.FAILED)
    training.step = 4
    resumed = start(database_url, training, resume_step=4)
    record = training.advance(texts=True)
    record.observations.uid[0] = ""
    record.observations.prompt_text[0] = None
    record.observations.response_text[:2] = ["", 'a,"b"\r\n\0☃']
    resumed.submit(record)
    resumed.close(Status.FINISHED)
    return database_url


def contents(engine: Engine, name: str) -> dict[str, Any]:
    """All that the database has of a run, with prompts by digest and without what a copy has of its own."""
    with engine.connect() as connection:

        def rows(query: Any) -> list[dict[str, Any]]:
            return sorted(map(dict, connection.execute(query).mappings()), key=repr)

        run = dict(connection.execute(select(table_of(Run)).where(Run.name == name)).mappings().one())
        digests = {row.id: bytes(row.digest) for row in connection.execute(select(Prompt.id, Prompt.digest))}
        found = {
            model.__tablename__: rows(select(table_of(model)).where(table_of(model).c.run_id == run["id"]))
            for model in (Attempt, TrackerState, InitScore, Observation, Rollout, StepSummary, Evaluation)
        }
        values = select(Series.name, Metric.step, Metric.attempt, Metric.value).join(
            Metric, Metric.series_id == Series.id
        )
        found["metrics"] = rows(values.where(Series.run_id == run["id"]))
        made = {row["id"]: row["digest"] for row in found["evaluations"]}
        for model in OF_EVALUATIONS:
            mine = table_of(model).c.evaluation_id.in_(made)
            found[model.__tablename__] = rows(select(table_of(model)).where(mine))
    for table in found.values():
        for row in table:
            row.pop("run_id", None)
            row.pop("id", None)
            if "evaluation_id" in row:
                row["evaluation_id"] = made[row["evaluation_id"]]
            if "prompt_id" in row:
                row["prompt_id"] = digests[row["prompt_id"]]
    for own in ("id", "name", "owner", "applied"):
        del run[own]
    return {"run": run, **{name: sorted(rows, key=repr) for name, rows in found.items()}}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_run_comes_back_as_it_was(rich_url: str, file_format: str, tmp_path: Path) -> None:
    with open_reader(rich_url) as reader:
        counts = export_run(reader, "demo/spo", tmp_path / "run", file_format)
    assert counts["observations"] == 7 * 8
    engine = open_engine(rich_url)
    assert import_run(engine, tmp_path / "run", "copy") == "copy"
    assert contents(engine, "copy") == contents(engine, "demo/spo")


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_run_moves_to_another_database(
    rich_url: str, file_format: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    other_url = request.getfixturevalue("postgres_url" if rich_url.startswith("sqlite") else "sqlite_url")
    with open_reader(rich_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", file_format)
    other = open_engine(other_url)
    assert import_run(other, tmp_path / "run") == "demo/spo"
    assert contents(other, "demo/spo") == contents(open_engine(rich_url), "demo/spo")
    with open_reader(other_url) as reader:
        page = queries.prompts(reader, 1, limit=POOL)
        assert {row.digest for row in page.rows} == {prompt.digest for prompt in pool()}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_run_that_branched_comes_back_with_its_parent(database_url: str, file_format: str, tmp_path: Path) -> None:
    training = trained(database_url, steps=3)
    branched = info("demo/branch", "b" * 32, parent=Parent("a" * 32, "demo/spo", 3))
    with writing(database_url, training, run=branched) as writer:
        writer.submit(training.advance())
    with open_reader(database_url) as reader:
        export_run(reader, "demo/branch", tmp_path / "run", file_format)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["run"]["parent_name"] == "demo/spo"
    engine = open_engine(database_url)
    import_run(engine, tmp_path / "run", "copy")
    assert contents(engine, "copy") == contents(engine, "demo/branch")
    with open_reader(database_url) as reader:
        run = queries.run(reader, "copy").run
    assert (run.parent_uid, run.parent_name, run.parent_step, run.last_step) == ("a" * 32, "demo/spo", 3, 4)


def test_a_run_that_is_being_imported_is_not_started(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(database_url, steps=1)
    engine = open_engine(database_url)
    with open_reader(database_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", "jsonl")

        def interrupt(path: Path, columns: object) -> None:
            assert queries.run(reader, "copy").run.status == "importing"
            for change in (lambda: start(database_url, Training(), info("copy")), lambda: delete_run(engine, "copy")):
                with pytest.raises(StoreError, match=r"run 'copy': process \d+ on .* imports it"):
                    change()
            raise KeyboardInterrupt

        with monkeypatch.context() as broken:
            broken.setattr(formats, "reading", interrupt)
            with pytest.raises(KeyboardInterrupt):
                import_run(engine, tmp_path / "run", "copy")
        assert [run.name for run in queries.runs(reader)] == ["demo/spo"]
    import_run(engine, tmp_path / "run", "copy")
    trained(database_url, steps=2, run=info("copy"))


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_export_of_before_sessions_were_kept_is_imported(rich_url: str, file_format: str, tmp_path: Path) -> None:
    former = {part: dataclasses.replace(part, columns=part.columns_in(4)) for part in layout.PARTS}
    folder = tmp_path / "run"
    with open_reader(rich_url) as reader:
        export_run(reader, "demo/spo", folder, file_format)
    document = json.loads((folder / manifest.NAME).read_text())
    for part, old in former.items():
        path = folder / f"{part.name}.{file_format}"
        rows = [row for chunk in formats.reading(path, part.columns) for row in chunk]
        with formats.writing(path, old.columns) as write:
            write([[row[name] for name in old.columns] for row in rows])
        document["files"][part.name]["digest"] = manifest._digest(path)
    (folder / manifest.NAME).write_text(json.dumps({**document, "version": 4}))
    engine = open_engine(rich_url)
    import_run(engine, folder, "copy")
    copied, original = contents(engine, "copy"), contents(engine, "demo/spo")
    for row in original["observations"]:
        row.update(finish=None, seconds=None, turns=None)
    assert copied["observations"] == sorted(original["observations"], key=repr)
    with open_reader(rich_url) as reader:
        texts = [(row.response, row.parts) for row in queries.rollouts(reader, 3).rows]
        assert texts == [(row.response, ()) for row in queries.rollouts(reader, 2).rows]


ODD_TEXTS = ["", " ", "\r", "a\rb", "a\r\nb\n", '"', '""', "'", ",", 'a,"b"\r', "null", "\t", "\u2028", "☃"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_any_text_comes_back(file_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"texts.{file_format}"
    columns: formats.Columns = {
        "text": "text",
        "optional": "optional text",
        "number": "float",
        "count": "optional int",
        "parts": "json",
    }
    rows = [(text, text, None, None, [text]) for text in ODD_TEXTS] + [("", None, 0.5, 3, None)]
    with formats.writing(path, columns) as write:
        write(rows)
    found = [tuple(row.values()) for chunk in formats.reading(path, columns) for row in chunk]
    assert found == rows


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_run_that_began_anew_on_other_data_comes_back(database_url: str, file_format: str, tmp_path: Path) -> None:
    training = Training()
    with writing(database_url, training) as writer:
        writer.add_init_scores(InitScores([0, 20], [8, 8], [4.0, 1.5]))
        for _ in range(3):
            writer.submit(training.advance())
    smaller = Training(size=10)
    with writing(database_url, smaller, run=info(uid="b" * 32, pool_digest=b"q" * 16)) as writer:
        writer.submit(smaller.advance())
    with open_reader(database_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", file_format)
    engine = open_engine(database_url)
    import_run(engine, tmp_path / "run", "copy")
    assert contents(engine, "copy") == contents(engine, "demo/spo")


def test_a_run_that_is_still_written_is_exported_as_one_moment_saw_it(database_url: str, tmp_path: Path) -> None:
    training = Training()
    writer = start(database_url, training)
    writer.submit(training.advance())
    writer.flush()
    with open_reader(database_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", "jsonl")
    writer.close(Status.FINISHED)
    engine = open_engine(database_url)
    import_run(engine, tmp_path / "run", "copy")
    with open_reader(database_url) as reader:
        assert queries.run(reader, "copy").run.status == "stopped"


def test_a_run_that_was_imported_can_be_resumed(rich_url: str, tmp_path: Path) -> None:
    with open_reader(rich_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", "parquet")
    import_run(open_engine(rich_url), tmp_path / "run", "copy")
    training = Training()
    training.step = 5
    writer = start(rich_url, training, run=info("copy"), resume_step=5)
    writer.submit(training.advance())
    writer.close(Status.FINISHED)
    with open_reader(rich_url) as reader:
        found = queries.run(reader, "copy")
    assert (found.run.last_step, found.run.attempt) == (6, 3)


def test_what_is_there_is_not_overwritten(rich_url: str, tmp_path: Path) -> None:
    with open_reader(rich_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", "csv")
        with pytest.raises(StoreError, match="is not empty"):
            export_run(reader, "demo/spo", tmp_path / "run", "csv")
        with pytest.raises(StoreError, match="must be one of parquet, csv, jsonl"):
            export_run(reader, "demo/spo", tmp_path / "other", "xml")
    with pytest.raises(StoreError, match="run 'demo/spo': there is one of this name"):
        import_run(open_engine(rich_url), tmp_path / "run")


def test_half_an_import_leaves_nothing(rich_url: str, tmp_path: Path) -> None:
    with open_reader(rich_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", "jsonl")
    # Of the last file, when all others are in.
    _change_manifest(tmp_path / "run", lambda document: document["files"]["evaluations"].update(rows=2))
    with pytest.raises(
        StoreError, match=r"evaluations\.jsonl: has 1 rows, but was exported with 2; export the run again"
    ):
        import_run(open_engine(rich_url), tmp_path / "run", "copy")
    with open_reader(rich_url) as reader:
        assert {run.name for run in queries.runs(reader)} == {"demo/spo", "other"}


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("part", ["prompts", "observations", "metrics"])
def test_a_file_that_is_not_as_it_was_exported_is_refused(
    sqlite_url: str, file_format: str, part: str, tmp_path: Path
) -> None:
    trained(sqlite_url, steps=3)
    with open_reader(sqlite_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", file_format)
    path = tmp_path / "run" / f"{part}.{file_format}"
    whole = path.read_bytes()
    # At the end of a line: what is left is a file of its format, with fewer rows.
    cut = whole[: whole.rindex(b"\n", 0, -1) + 1]
    engine = open_engine(sqlite_url)
    for content in (cut, whole[:-1], b""):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=f"{path.name}: not as it was exported .*; copy it anew"):
            import_run(engine, tmp_path / "run", "copy")
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name}: missing; copy the whole folder"):
        import_run(engine, tmp_path / "run", "copy")
    path.write_bytes(whole)
    import_run(engine, tmp_path / "run", "copy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no run\.json in it"),
        ('{"version": 99}', "its version is 99"),
        ('{"version": ', r"run\.json: not JSON .*; export the run again"),
        ("[]", "its version is None"),
        (f'{{"version": {manifest.VERSION}, "format": "csv"}}', r"run\.json: is incomplete; export the run again"),
    ],
)
def test_a_folder_that_is_no_export_is_refused(
    sqlite_url: str, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(StoreError, match=message):
        import_run(open_engine(sqlite_url), tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("run"),
        lambda document: document.pop("attempts"),
        lambda document: document["run"].pop("pool_digest"),
        lambda document: document["attempts"][0].pop("config"),
        lambda document: document["files"].pop("metrics"),
        lambda document: document["files"]["metrics"].pop("digest"),
        lambda document: document.update(format="xml"),
    ],
)
def test_a_manifest_in_which_something_is_missing_is_refused(
    sqlite_url: str, tmp_path: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    trained(sqlite_url, steps=1)
    with open_reader(sqlite_url) as reader:
        export_run(reader, "demo/spo", tmp_path / "run", "csv")
    _change_manifest(tmp_path / "run", spoil)
    with pytest.raises(StoreError, match=r"run\.json: is incomplete"):
        import_run(open_engine(sqlite_url), tmp_path / "run", "copy")


def _change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "run.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("file_format", FORMATS)
def test_memory_does_not_grow_with_the_run(
    sqlite_url: str, file_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_spo.store.transfer.formats.CHUNK", 100)
    peaks = []
    # The first one also pays for what is loaded and kept by the libraries.
    for number, steps in enumerate((20, 20, 200)):
        name = f"run {number}"
        trained(sqlite_url, steps=steps, run=info(name, "a" * 32))
        with open_reader(sqlite_url) as reader:
            tracemalloc.start()
            export_run(reader, name, tmp_path / name, file_format)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1]


def test_scores_of_the_reference_recipe_become_a_run(database_url: str, tmp_path: Path) -> None:
    trained(database_url, steps=1)
    first, second = (prompt.messages[-1]["content"] for prompt in pool()[:2])
    path = tmp_path / "offline_values.json"
    path.write_text(json.dumps({first: [1.0, 0.0, 1.0, 1.0], second: [0, 0, 0], "unknown": [1]}, indent=2))
    matched = import_scores(open_engine(database_url), "offline", read_scores(path), n_eff=8.0)
    assert (matched.known, matched.unknown) == (2, 1)
    with open_reader(database_url) as reader:
        run = queries.run(reader, "offline").run
        assert (run.status, run.pool_size) == ("imported", 2)
        rows = queries.prompts(reader, run.id, "value").rows
        assert [row.text for row in rows] == [second, first]
        assert [row.value for row in rows] == [0.5 / 4, 3.5 / 5]
        assert [row.n_eff for row in rows] == [8.0, 8.0]
        assert queries.tracker(reader, run.id).known.all()
        assert queries.init_scores(reader, run.id)[pool()[0].digest] == (4, 3.0)


def test_scores_may_name_prompts_by_digest(database_url: str) -> None:
    trained(database_url, steps=1)
    matched = import_scores(open_engine(database_url), "offline", {pool()[5].digest.hex(): [1.0]}, n_eff=8.0)
    assert (matched.known, matched.unknown) == (1, 0)


@pytest.mark.parametrize(
    ("scores", "message"),
    [({"a": [2.0]}, "must be in"), ({"a": []}, "at least one"), ({"a": [1.0]}, "none of the file's prompts")],
)
def test_scores_that_mean_nothing_are_refused(database_url: str, scores: dict[str, list[float]], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        import_scores(open_engine(database_url), "offline", scores, n_eff=8.0)


def test_scores_do_not_overwrite_a_run(database_url: str) -> None:
    trained(database_url, steps=1)
    with pytest.raises(StoreError, match="there is one of this name"):
        import_scores(open_engine(database_url), "demo/spo", {pool()[0].digest.hex(): [1.0]}, n_eff=8.0)
