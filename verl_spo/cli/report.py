"""`verl-spo report`: the table of a run's evaluations, against published figures and another run."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verl_spo.cli.database import DEFAULT_DB, Db
from verl_spo.cli.extras import require
from verl_spo.cli.terminal import say
from verl_spo.errors import ConfigError, DataError
from verl_spo.evaluation.formats import Format
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.queries import EvaluationRow
from verl_spo.store.records import Origin

if TYPE_CHECKING:
    from verl_spo.evaluation.evaluated import Evaluated


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or a model as it was evaluated.")],
    against: Annotated[
        str | None, typer.Option(help="Another run or model, as RUN or RUN@STEP; the same run's other step as @STEP.")
    ] = None,
    step: Annotated[int | None, typer.Option(help="Of the policy; by default the last one evaluated.")] = None,
    scorer: Annotated[
        str | None, typer.Option(help="Whose verdicts; by default math_verify's, where it has judged all.")
    ] = None,
    seed: Annotated[
        list[str] | None, typer.Option(help="Another run of the same recipe with another seed; may be repeated.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Which samples, where there are several ways: temperature=0.6; may be repeated."
        ),
    ] = None,
    k: Annotated[
        str | None,
        typer.Option(help="Samples that figures are of, such as 32 or 1,8,32; by default all that every problem has."),
    ] = None,
    validation: Annotated[bool, typer.Option("--validation", help="verl's validations while the run trained.")] = False,
    text: Annotated[int, typer.Option(min=0, help="Characters of each response's end that HTML and JSON have.")] = 200,
    to: Annotated[Format, typer.Option(help="Format.")] = Format.MARKDOWN,
    out: Annotated[Path | None, typer.Option(help="File to write; by default stdout.")] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Write avg@k, maj@k and pass@k of a policy with their intervals, from its stored samples."""
    require("report")
    from verl_spo.evaluation.judges import default_scorer
    from verl_spo.evaluation.rendering import render
    from verl_spo.evaluation.report import build

    origin, ks = Origin.VALIDATION if validation else Origin.EVALUATION, _numbers(k)
    with open_reader(db) as reader:
        everything = _rows(reader, run, origin)
        chosen = _of_step(everything, run, step, setting)
        ways = _other_ways(everything, chosen)
        judged_by = scorer or default_scorer(_judges(reader, each) for each in chosen)
        alike = [row for row in everything if row.settings == chosen[0].settings]
        other = None if against is None else _against(reader, run, against, origin, judged_by, setting)
        evaluated = [_looked_at(reader, each, text) for each in _evaluated(reader, chosen, judged_by)]
        over_steps = _judged(reader, alike, judged_by)
        seeds = [
            _evaluated(reader, _of_step(_rows(reader, each, origin), each, step, setting), judged_by)
            for each in seed or ()
        ]
        written = render(build(f"{run}, step {chosen[0].step}", evaluated, other, over_steps, seeds, ks, ways), to)
    if out is None:
        print(written, end="")
    else:
        out.write_text(written)
        say(f"{out}")


def _numbers(text: str | None) -> list[int]:
    """The numbers of samples that `--k` names."""
    numbers = [] if text is None else text.split(",")
    if wrong := [number for number in numbers if not number.strip().isdecimal() or int(number) < 1]:
        raise ConfigError(
            f"--k {text}: {wrong[0]!r} is no number from 1 on; separate several by commas, such as 1,8,32"
        )
    return sorted({int(number) for number in numbers})


def _against(
    reader: Reader, run: str, against: str, origin: Origin, scorer: str, settings: Sequence[str] | None
) -> tuple[str, list["Evaluated"]]:
    """The other policy's name and evaluations."""
    name, _, step = against.rpartition("@") if "@" in against else (against, "", "")
    name = name or run
    if step and not step.isdecimal():
        raise DataError(f"--against {against}: what follows the @ must be a step")
    rows = _of_step(_rows(reader, name, origin), name, int(step) if step else None, settings)
    return f"{name}, step {rows[0].step}", _evaluated(reader, rows, scorer)


def _rows(reader: Reader, name: str, origin: Origin) -> list[EvaluationRow]:
    """The evaluations of a run, or of a model of no run."""
    run = queries.find_run(reader, name)
    found = queries.evaluations(reader, run.run.id if run else None)
    rows = [row for row in found if row.origin == origin and row.samples and (run or row.model == name)]
    if not rows:
        others = "" if origin is Origin.VALIDATION else f"; `verl-spo evaluate {name}` makes one"
        raise DataError(f"{name}: has no {origin} in {reader}{others}")
    return rows


def _of_step(
    rows: Sequence[EvaluationRow], name: str, step: int | None, settings: Sequence[str] | None
) -> list[EvaluationRow]:
    """The evaluations of one policy that were sampled alike, the newest of each benchmark."""
    if settings is not None:
        rows = _sampled(rows, settings)
    steps = sorted({row.step for row in rows})
    wanted = steps[-1] if step is None else step
    if wanted not in steps:
        raise DataError(f"{name}, step {wanted}: was not evaluated; steps that were: {', '.join(map(str, steps))}")
    there = [row for row in rows if row.step == wanted]
    newest = max(there, key=lambda row: row.started_at)
    alike = {row.benchmark: row for row in there if row.settings == newest.settings}
    return list(alike.values())


def _sampled(rows: Sequence[EvaluationRow], settings: Sequence[str]) -> list[EvaluationRow]:
    """Those whose settings are as the option says; of settings that it does not name, any."""
    wanted = dict(item.partition("=")[::2] for item in settings)
    found = [row for row in rows if all(_said(row.settings.get(name)) == value for name, value in wanted.items())]
    if not found:
        given = " ".join(f"--setting {item}" for item in settings)
        raise DataError(f"{given}: nothing was sampled so; there is {'; '.join(_ways(rows))}")
    return found


def _other_ways(rows: Sequence[EvaluationRow], chosen: Sequence[EvaluationRow]) -> list[str]:
    """How else the policy was sampled on these benchmarks, as `--setting` takes it."""
    names = {row.benchmark for row in chosen}
    beside = [row for row in rows if row.step == chosen[0].step and row.benchmark in names]
    return [way for way in _ways([*chosen, *beside]) if way != _ways([*chosen, *beside])[0]]


def _ways(rows: Sequence[EvaluationRow]) -> list[str]:
    """In which ways evaluations were sampled, the first one's first, by the settings in which they differ."""
    names = dict.fromkeys(name for row in rows for name in row.settings)
    differing = [name for name in names if len({_said(row.settings.get(name)) for row in rows}) > 1] or [*names]
    return list(
        dict.fromkeys(" ".join(f"{name}={_said(row.settings.get(name))}" for name in differing) for row in rows)
    )


def _said(value: object) -> str:
    """A setting's value, as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)


def _judges(reader: Reader, row: EvaluationRow) -> list[str]:
    """Who has judged all answers of an evaluation."""
    from verl_spo.evaluation.judges import judges

    return judges(row, queries.evaluation_scorers(reader, row.id))


def _judged(reader: Reader, rows: Sequence[EvaluationRow], scorer: str) -> list["Evaluated"]:
    """Those of many steps that are complete, and that the scorer has judged."""
    judged = [row for row in rows if row.complete and row.answered and scorer in _judges(reader, row)]
    return _evaluated(reader, judged, scorer)


def _looked_at(reader: Reader, evaluated: "Evaluated", characters: int) -> "Evaluated":
    """The same with its samples, cut to so many characters, and with what a reader should look at."""
    from verl_spo.evaluation.doubts import counts
    from verl_spo.evaluation.drill_down import sample_lines

    # Problem by problem: all texts at once may be gigabytes.
    samples = {
        problem.place: sample_lines(
            queries.evaluation_samples(reader, evaluated.row.id, problem.place), problem.ground_truth, characters
        )
        for problem in evaluated.problems
    }
    kept = [each for lines in samples.values() for each in lines if each.text is not None]
    doubts = {str(name): count for name, count in counts(each.doubts for each in kept).items()}
    return replace(evaluated, doubts={**doubts, "texts": len(kept)}, samples=samples)


def _evaluated(reader: Reader, rows: Sequence[EvaluationRow], scorer: str) -> list["Evaluated"]:
    from verl_spo.evaluation.stored import read

    return [read(reader, row, scorer) for row in rows]
