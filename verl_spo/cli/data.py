"""`verl-spo data`: the demo's prompts and the tiny model that is trained on them, beside the problem sets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from verl_spo.cli.app import App
from verl_spo.cli.extras import require
from verl_spo.cli.problem_sets import add_commands
from verl_spo.cli.terminal import say
from verl_spo.demo.recipe import Recipe

app = App(help="Write prompt sets in verl's format, and the demo's tiny model.", no_args_is_help=True)
add_commands(app)

DEFAULT_DATA = Path("demo/data")
DEFAULT_MODEL = Path("demo/model")
_RECIPE = Recipe()


@app.command()
def arithmetic(
    out: Annotated[Path, typer.Option(help="Folder to write the parquet files to.")] = DEFAULT_DATA,
    train: Annotated[int, typer.Option(help="Training prompts.")] = 1024,
    validation: Annotated[int, typer.Option(help="Validation prompts, none of them a training prompt.")] = 256,
    seed: Annotated[int, typer.Option(help="Another seed gives other prompts.")] = 0,
) -> None:
    """Write a prompt set of additions with a wide spread of difficulty, in verl's format."""
    from verl_spo.demo.arithmetic import make_prompt_set, write_prompt_set

    write_prompt_set(make_prompt_set(train, validation, seed), out)
    say(f"{train} training and {validation} validation prompts in {out}")


@app.command()
def tiny_model(
    out: Annotated[Path, typer.Option(help="Folder to save the model in.")] = DEFAULT_MODEL,
    data: Annotated[Path, typer.Option(help="Folder of `verl-spo data arithmetic`.")] = DEFAULT_DATA,
    seed: Annotated[int, typer.Option(help="Of the initial weights and the training problems.")] = _RECIPE.seed,
    steps: Annotated[int, typer.Option(help="Steps of supervised training.")] = _RECIPE.steps,
    slip: Annotated[
        float, typer.Option(help="How often the answers it learns from forget a carry, in [0, 1].")
    ] = _RECIPE.slip,
    vocabulary_multiple: Annotated[
        int, typer.Option(help="Fill the vocabulary up to a multiple of this, as tensor parallelism needs it.")
    ] = _RECIPE.vocabulary_multiple,
    force: Annotated[bool, typer.Option("--force", help="Train even if the folder holds this very model.")] = False,
) -> None:
    """Train a tiny Qwen3 model until about a third of its answers are right, and save it as a Hugging Face folder."""
    require("verl")
    # torch and transformers take seconds to import: not for the other commands.
    from verl_spo.demo.arithmetic import read_prompt_set
    from verl_spo.demo.tiny_model import is_current, make_tiny_model, read_card

    recipe = Recipe(seed=seed, steps=steps, slip=slip, vocabulary_multiple=vocabulary_multiple)
    prompts = read_prompt_set(data)
    if force or not is_current(out, prompts, recipe):
        with _progress() as progress:
            task = progress.add_task("supervised training", total=steps, loss=float("nan"))
            made = make_tiny_model(prompts, recipe, lambda loss: progress.update(task, advance=1, loss=loss))
        made.save(out)
    accuracy = read_card(out)["validation"]
    say(
        f"model in {out}: {accuracy['sampled']:.1%} of the validation answers right when sampled, "
        f"{accuracy['greedy']:.1%} when greedy"
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
