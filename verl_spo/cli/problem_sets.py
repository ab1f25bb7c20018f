"""`verl-spo data NAME`: published problem sets and generated puzzles, in verl's format."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from verl_spo.cli.extras import require
from verl_spo.cli.terminal import say
from verl_spo.datasets.sources import SOURCES, Source
from verl_spo.errors import DataError

DEFAULT_FOLDER = Path("data")


class MathStyle(StrEnum):
    """How a prompt asks for the answer to a mathematical problem."""

    BOXED = "boxed"
    ANSWER = "answer"


class PuzzleStyle(StrEnum):
    """How a prompt asks for the answer to a puzzle."""

    TAGGED = "tagged"
    PLAIN = "plain"


def add_commands(app: typer.Typer) -> None:
    """Add a command for each published set, and one for puzzles."""
    for source in SOURCES.values():
        app.command(source.name, help=f"Write {source.title}, of {source.repository} on the Hugging Face hub.")(
            _published(source)
        )
    app.command()(reasoning_gym)


def _published(source: Source) -> Callable[..., None]:
    def command(
        out: Annotated[Path, typer.Option(help=f"Folder to write {source.name}.parquet to.")] = DEFAULT_FOLDER,
        style: Annotated[
            MathStyle, typer.Option(help='How prompts ask for the answer: in a box, or after "Answer:" as DAPO does.')
        ] = MathStyle.BOXED,
        from_: Annotated[
            Path | None,
            typer.Option("--from", help="Folder with its files, instead of the hub."),
        ] = None,
        revision: Annotated[
            str | None, typer.Option(help="Commit, branch or tag on the hub, instead of its latest commit.")
        ] = None,
    ) -> None:
        _write_published(source, out, style, from_, revision)

    return command


def _write_published(source: Source, out: Path, style: MathStyle, folder: Path | None, revision: str | None) -> None:
    # pyarrow and the hub's library take a while to import: not for the other commands.
    from verl_spo.datasets.collecting import collect
    from verl_spo.datasets.reading import describe, find_files
    from verl_spo.datasets.writing import provenance, write

    origin: dict[str, Any] = {"repository": source.repository}
    if folder is None:
        folder, origin["commit"] = _download(source, revision)
    elif revision is not None:
        raise DataError(
            f"--revision {revision}: is of the hub, and --from {folder} reads this folder; give one of them"
        )
    else:
        origin["folder"] = str(folder.resolve())
    files = find_files(folder)
    collection = collect(files, source)
    origin["files"] = [describe(file, folder) for file in files]
    origin["counts"] = collection.summary()
    file = out / f"{source.name}.parquet"
    options = {"style": style.value, "revision": revision}
    write(file, collection.problems, source.split, style.value, provenance(source.name, options, origin))
    say(f"{len(collection.problems)} prompts in {file}: {_told(collection.summary())}")


def _download(source: Source, revision: str | None) -> tuple[Path, str]:
    # Which brings the hub's library.
    require("verl")
    from verl_spo.datasets.hub import download

    return download(source.repository, revision)


def _told(counts: dict[str, int]) -> str:
    left_out = ("repeated", "contradicting", "chinese")
    told = [f"{counts[name]:,} {name}" for name in left_out if counts[name]]
    return f"{counts['rows']:,} rows" + (f", {', '.join(told)}" if told else "")


def reasoning_gym(
    task: Annotated[list[str], typer.Option(help="A task of reasoning-gym; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder to write the parquet files to.")] = DEFAULT_FOLDER / "reasoning_gym",
    train: Annotated[int, typer.Option(min=1, help="Training prompts, in equal parts of each task.")] = 4096,
    validation: Annotated[int, typer.Option(min=1, help="Validation prompts, none of them a training prompt.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other puzzles.")] = 0,
    level: Annotated[
        int | None, typer.Option(min=0, help="Difficulty, of each task's curriculum; by default the task's own.")
    ] = None,
    style: Annotated[
        PuzzleStyle, typer.Option(help="How prompts ask for the answer: between <answer> tags, or not at all.")
    ] = PuzzleStyle.TAGGED,
) -> None:
    """Write puzzles of reasoning-gym's tasks, as many and as hard as one likes."""
    require("reasoning-gym")
    from verl_spo.datasets.puzzles import make_problems
    from verl_spo.datasets.writing import provenance, write

    tasks = list(dict.fromkeys(task))
    problems = make_problems(tasks, train + validation, seed, level)
    options = {"task": tasks, "train": train, "validation": validation, "seed": seed, "level": level, "style": style}
    made = provenance("reasoning-gym", options, {"package": "reasoning-gym"})
    for split, part in (("train", problems[:train]), ("validation", problems[train:])):
        write(out / f"{split}.parquet", part, split, style.value, made)
    say(f"{train} training and {validation} validation prompts of {', '.join(tasks)} in {out}")
