"""`verl-spo evaluate`: what a run, a checkpoint or a model scores on benchmarks."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from verl_spo.cli.database import DEFAULT_DB, Db
from verl_spo.cli.extras import require
from verl_spo.cli.judging import Scorers, judge, scorers_of
from verl_spo.cli.problem_sets import DEFAULT_FOLDER
from verl_spo.cli.progress import follow_samples
from verl_spo.cli.terminal import say
from verl_spo.cli.train import told
from verl_spo.datasets.sources import SOURCES
from verl_spo.errors import DataError
from verl_spo.store import open_reader
from verl_spo.store.database.connections import writing
from verl_spo.store.evaluating import Evaluating


def evaluate(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(metavar="RUN|CHECKPOINT|MODEL", help="Name of a run, a global_step_N folder, or a model."),
    ],
    benchmark: Annotated[
        str, typer.Option(help="Names of `verl-spo data`, or parquet files, separated by commas.")
    ] = "aime24,aime25,beyondaime,brumo25,hmmt25",
    samples: Annotated[int, typer.Option(help="Per problem.")] = 32,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="In (0, 1].")] = 0.95,
    top_k: Annotated[int, typer.Option(help="-1: all tokens.")] = 20,
    max_response_length: Annotated[int | None, typer.Option(help="Tokens; by default the recipe's.")] = None,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="Temperature, top-p and top-k of the recipe's training.")
    ] = False,
    step: Annotated[
        int | None, typer.Option(help="Of a run's checkpoint; by default the latest one, 0 is its start.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="How to load it; by default as its run was trained. A model needs one.")
    ] = None,
    scorer: Scorers = None,
    data: Annotated[Path, typer.Option(help="Folder of the benchmarks' files.")] = DEFAULT_FOLDER,
    db: Db = DEFAULT_DB,
) -> None:
    """Answer benchmarks by verl's own rollout, and keep every sample.

    Further arguments are Hydra overrides. What is there of the same evaluation is not done again: an interrupted one
    goes on, and more --samples add to it.
    """
    require("verl")
    from verl_spo.launching.evaluation import Sampling, is_complete, prepare, results, sources_of
    from verl_spo.launching.log import NAME as LOG_NAME
    from verl_spo.launching.policies import find
    from verl_spo.training import verl_options

    sampling = Sampling(samples, temperature, top_p, top_k, max_response_length, as_trained)
    files = [_file(name, data) for name in benchmark.split(",")]
    with writing(db, make=True):
        pass
    with open_reader(db) as reader:
        policy = find(target, step, reader, is_model=recipe is not None)
        prepared = prepare(policy, files, sampling, db, recipe, context.args)
        scorers_of(scorer, sources_of(prepared))
        if is_complete(results(reader, policy, prepared), prepared):
            say(f"{policy.name}, step {policy.step}: all samples are there")
        else:
            say(f"evaluating {policy.name}, step {policy.step}; verl's output: {prepared.folder / LOG_NAME}")
            with follow_samples(lambda: results(reader, policy, prepared), samples):
                ended = prepared.run()
            if status := told(ended):
                raise typer.Exit(status)
        rows = results(reader, policy, prepared)
        judge(reader, db, rows, scorer)
        with Evaluating(verl_options.spo_config(prepared.config).store) as store:
            for row in rows:
                store.trim(row.id)
        name = policy.run.run.name if policy.run else verl_options.evaluation_config(prepared.config).model
        say(f"the table: {shlex.join(['verl-spo', 'report', name])}")


def _file(name: str, folder: Path) -> Path:
    """The file of a benchmark, by its name or path; if it is not there, the error says how to get it."""
    for file in (Path(name), folder / f"{name}.parquet"):
        if file.is_file():
            return file
    if name in SOURCES:
        raise DataError(f"--benchmark {name}: not in {folder}; get it by `verl-spo data {name} --out {folder}`")
    raise DataError(
        f"--benchmark {name}: no such file, nor {name}.parquet in {folder}; `verl-spo data` has {', '.join(SOURCES)}"
    )
