"""`verl-spo init-values`: the offline estimate of a prompt pool's values, on its own."""

import json
from pathlib import Path
from typing import Annotated

import typer

from verl_spo.cli.extras import require
from verl_spo.cli.terminal import say
from verl_spo.cli.train import told
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.runs.status import Status


def init_values(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="JSON file of scores by prompt digest, for `spo.init_file`.")] = Path(
        "init_values.json"
    ),
) -> None:
    """Have a recipe's initial policy answer every prompt ([SPO] algorithm 2), and write the scores; nothing is trained.

    Further arguments are Hydra overrides, such as spo.init_rollouts=8. An interrupted estimate goes on where it stood.
    """
    require("verl")
    from verl_spo.launching import launch
    from verl_spo.training import verl_options
    from verl_spo.training.initial.sources import scores_file

    only = ["spo.init=rollouts", "spo.init_only=True", "trainer.val_before_train=False"]
    only += ["trainer.resume_mode=disable", "spo.branch_from=null"]
    prepared = launch.prepare(name, [*context.args, *only])
    if status := told(prepared.run(shown=True)):
        raise typer.Exit(status)
    config = verl_options.spo_config(prepared.config)
    with open_reader(config.store.url) as reader:
        run = queries.run(reader, verl_options.run_name(prepared.config)).run
        if run.status != Status.FINISHED:
            raise StoreError(
                f"run {run.name!r}: {reader} does not have all of its estimates yet, since it was away when the run "
                "ended; repeat this command, which brings in what is missing"
            )
        values = scores_file(config, queries.init_scores(reader, run.id))
    out.write_text(json.dumps(values))
    say(f"scores of {len(values)} prompts in {out}; start from them with spo.init=file spo.init_file={out}")
