"""`verl-spo prompts`: a run's prompts, by what its value tracker knows of them."""

from dataclasses import asdict
from typing import Annotated

import typer

from verl_spo.cli.app import App
from verl_spo.cli.database import DEFAULT_DB, Db, Json, RunName, print_json, print_table
from verl_spo.cli.terminal import say
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import PromptFilter, PromptRow
from verl_spo.store.queries.pool import SORTS, Sort

app = App(help="Show the hardest, easiest and stalest prompts of a run, and search them.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
MinVisits = Annotated[int, typer.Option(min=0, help="Only prompts that were visited at least so often.")]
Source = Annotated[str | None, typer.Option(help="Only prompts of this data source.")]

_NUMBERS = ("v_hat", "90 %", "n_eff", "visits", "last step")


@app.command()
def hardest(
    name: RunName,
    db: Db = DEFAULT_DB,
    limit: Limit = 20,
    min_visits: MinVisits = 1,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Show the prompts with the lowest v_hat."""
    _print(db, name, "value", False, PromptFilter(source=source, visits=(min_visits, None)), limit, as_json)


@app.command()
def easiest(
    name: RunName,
    db: Db = DEFAULT_DB,
    limit: Limit = 20,
    min_visits: MinVisits = 1,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Show the prompts with the highest v_hat."""
    _print(db, name, "value", True, PromptFilter(source=source, visits=(min_visits, None)), limit, as_json)


@app.command()
def stale(name: RunName, db: Db = DEFAULT_DB, limit: Limit = 20, source: Source = None, as_json: Json = False) -> None:
    """Show the prompts whose last visit is longest ago; those never visited come first."""
    _print(db, name, "last_step", False, PromptFilter(source=source), limit, as_json)


@app.command()
def search(
    name: RunName,
    words: Annotated[str, typer.Argument(help='Words that must all occur; 12+34 or "two words" in a row; triang*.')],
    db: Db = DEFAULT_DB,
    sort: Annotated[str, typer.Option(help=f"Order: {', '.join(SORTS)}.")] = "value",
    descending: Annotated[bool, typer.Option("--descending", help="Highest first.")] = False,
    limit: Limit = 20,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Show the prompts whose text or answer has the words."""
    chosen: Sort = sort  # type: ignore[assignment]
    _print(db, name, chosen, descending, PromptFilter(words, source), limit, as_json)


def _print(db: str, name: str, sort: Sort, descending: bool, where: PromptFilter, limit: int, as_json: bool) -> None:
    with open_reader(db) as reader:
        run = queries.run(reader, name).run
        page = queries.prompts(reader, run.id, sort, descending, where, limit=limit)
    if as_json:
        print_json([asdict(row) for row in page.rows])
        return
    if not page.rows:
        say(f"no such prompts in {name}")
        return
    print_table((*_NUMBERS, "source", "prompt", "answer"), map(_cells, page.rows), whole=_NUMBERS)
    if page.count > len(page.rows):
        say(f"the first {limit} of {page.count:,}; --limit shows more")


def _cells(row: PromptRow) -> tuple[object, ...]:
    interval = f"{row.low:.2f}-{row.high:.2f}"
    return (
        f"{row.value:.3f}", interval, f"{row.n_eff:.1f}", row.visits, row.last_step, row.data_source,
        _short(row.text), _short(row.ground_truth, 24),
    )  # fmt: skip


def _short(text: str, width: int = 72) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
