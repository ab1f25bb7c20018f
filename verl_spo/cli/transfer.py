"""`verl-spo export` and `verl-spo import`: runs as files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from verl_spo.cli.database import DEFAULT_DB, Db, Json, RunName, print_json, print_table, tell
from verl_spo.errors import StoreError
from verl_spo.store import open_reader
from verl_spo.store.database.connections import writing

DEFAULT_N_EFF = 8.0


def export(
    name: RunName,
    out: Annotated[Path | None, typer.Option(help="A new folder.  [default: the run's name]")] = None,
    to: Annotated[str, typer.Option(help="Format: parquet, csv or jsonl.")] = "parquet",
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Write a run into a folder, a file a kind of row; `verl-spo import` reads it back without loss."""
    # pyarrow takes its time to import: not for the other commands.
    from verl_spo.store.transfer import export_run

    folder = out or Path(name.replace("/", "_"))
    with open_reader(db) as reader:
        counts = export_run(reader, name, folder, to)
    if as_json:
        print_json({"folder": str(folder), "format": to, "rows": counts})
        return
    print_table(("file", "rows"), [(f"{part}.{to}", f"{count:,}") for part, count in counts.items()], str(folder))


def import_(
    source: Annotated[Path, typer.Argument(help="A folder of `verl-spo export`, or a file of scores per prompt.")],
    name: Annotated[str | None, typer.Option("--as", help="Name of the run.  [default: the one it had]")] = None,
    n_eff: Annotated[
        float, typer.Option(help="Evidence of an estimate from scores, in observations: above 0.")
    ] = DEFAULT_N_EFF,
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Make a run from an export, or from a file of scores such as the reference recipe's offline values (JSON)."""
    from verl_spo.store.transfer import import_run, import_scores
    from verl_spo.store.transfer.scores import read_scores

    if not source.exists():
        raise StoreError(f"{source}: no such file or folder")
    with writing(db, make=True) as engine:
        if source.is_dir():
            made = import_run(engine, source, name)
            tell({"run": made}, f"imported {made}", as_json)
            return
        if name is None:
            raise StoreError(f"{source}: a file of scores has no name for the run; give one with --as")
        matched = import_scores(engine, name, read_scores(source), n_eff)
    line = f"imported {name}: {matched.known} prompts; {matched.unknown} of the file's are not in the database"
    tell({"run": name, **asdict(matched)}, line, as_json)
