"""`verl-spo plan`: what a recipe needs, and how long a step may take."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from verl_spo.cli.extras import require
from verl_spo.cli.terminal import plain, say
from verl_spo.planning.hardware import Hardware
from verl_spo.planning.sizes import GIB

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from verl_spo.planning.plan import Plan

_DEFAULT = Hardware()


def plan(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a YAML file.")],
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that train; as many as the recipe says.")] = None,
    memory: Annotated[float, typer.Option(min=1, help="Memory of a GPU, in GiB.")] = _DEFAULT.memory,
    reserve: Annotated[
        float, typer.Option(min=0, help="GiB of it for CUDA, NCCL, a sleeping vLLM and fragments (assumed).")
    ] = _DEFAULT.reserve,
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Of a trajectory; the longest allowed.")] = None,
    response_tokens: Annotated[int | None, typer.Option(min=1, help="Of a trajectory; the longest allowed.")] = None,
    tflops: Annotated[float, typer.Option(min=1, help="Peak of a GPU in bf16 (H100: verl's table).")] = _DEFAULT.tflops,
    mfu: Annotated[float, typer.Option(min=0.01, max=1, help="Share of it that is reached (assumed).")] = _DEFAULT.mfu,
    bandwidth: Annotated[
        float, typer.Option(min=0.1, help="TB/s of a GPU's memory (H100 SXM: data sheet).")
    ] = _DEFAULT.bandwidth,
    bandwidth_use: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of it that decoding reaches (assumed).")
    ] = _DEFAULT.bandwidth_use,
    transfer: Annotated[
        float, typer.Option(min=0.1, help="GB/s between host and GPU, and of a weight sync (assumed).")
    ] = _DEFAULT.transfer,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: bytes and seconds.")] = False,
) -> None:
    """Estimate memory per GPU and time per step of a recipe; every further argument is a Hydra override.

    The model is built as the recipe spreads it, without its weights, on any machine. Exit status: 0 it fits, 1 it
    cannot, and the output says which knob to turn.
    """
    require("verl")
    from verl_spo.launching import compose
    from verl_spo.planning import plan as planning

    hardware = Hardware(memory, reserve, tflops, mfu, bandwidth, bandwidth_use, transfer)
    made = planning.make(compose.load(name, context.args), hardware, gpus, prompt_tokens, response_tokens)
    if as_json:
        print(json.dumps(made.to_dict(), indent=2))
    else:
        _show(made)
    raise typer.Exit(0 if made.fits else 1)


def report(config: "DictConfig") -> bool:
    """Print the plan of a composed recipe on the GPUs that it asks for; whether it fits.

    Raises:
        ConfigError: The model's shape is not known here.
    """
    from verl_spo.planning import plan as planning

    made = planning.make(config, _DEFAULT, None, None, None)
    _show(made)
    return made.fits


def _show(made: "Plan") -> None:
    console = Console()
    for part in (_heading(made), _sizes(made), _phases(made), _rollout(made)):
        console.print(part, "", sep="\n", highlight=False, soft_wrap=True)
    for problem in made.problems:
        say(f"cannot fit: {problem}")
    if made.fits:
        say("every phase fits; sizes and times are estimates")


def _heading(made: "Plan") -> str:
    layout, model = made.training.layout, made.model
    spread = f"TP {layout.tensor}, PP {layout.pipeline}, CP {layout.context}, VPP {layout.virtual}, DP {layout.data}"
    if layout.engine == "fsdp":
        spread = f"FSDP over {layout.gpus}, Ulysses {layout.context}"
    return (
        f"{model.parameters:,} parameters on {layout.gpus} GPUs ({spread}), {made.training.tokens:,} tokens per GPU "
        f"and micro-batch\n{made.work.trajectories:,} trajectories of {made.work.prompt:,} + {made.work.response:,} "
        f"tokens per step: {made.flops / 1e15:,.0f} PFLOP forward and backward"
    )


def _sizes(made: "Plan") -> Table:
    memory = made.memory
    stage = f", pipeline stage {memory.stage}" if made.training.layout.pipeline > 1 else ""
    table = _table(f"update, GPU with the most{stage}", "GiB")
    table.add_row("parameters", _gib(memory.parameters))
    table.add_row("gradients", _gib(memory.gradients))
    table.add_row("optimizer", _gib(memory.optimizer))
    if memory.gathered:
        table.add_row("layers gathered by FSDP", _gib(memory.gathered))
    table.add_row("activations", _gib(memory.activations))
    if made.training.recompute:
        table.add_row("  without recomputation", f"({_gib(memory.activations_without_recompute)})")
    table.add_row("logits and their copies", _gib(memory.logits))
    return table


def _phases(made: "Plan") -> Table:
    needs, seconds = made.needs, made.seconds
    limit = _gib(needs.limit)
    table = _table("phase", f"GiB of {limit}", "seconds")
    table.add_row("generation", _gib(needs.generation), _seconds(seconds.generation))
    table.add_row("old log-probs", _gib(needs.old_log_prob), _seconds(seconds.old_log_prob))
    if made.work.rescoring:
        table.add_row("re-scoring (spo.retention=kl)", _gib(needs.old_log_prob), _seconds(seconds.rescoring))
    table.add_row("update", _gib(needs.update), _seconds(seconds.update))
    table.add_row("weight sync, offload", _gib(needs.weight_sync), _seconds(seconds.weight_sync))
    table.add_row("step" + (", generation beside it" if seconds.overlaps else ""), "", _seconds(seconds.total))
    return table


def _rollout(made: "Plan") -> str:
    rollout, generation, hardware = made.rollout, made.generation, made.hardware
    return (
        f"vLLM, TP {generation.tensor}: {_gib(rollout.share)} GiB, of which weights {_gib(rollout.weights)}, computing "
        f"{_gib(rollout.computing)}, KV cache {_gib(max(0.0, rollout.cache))}: {rollout.sequences:.1f} sequences of "
        f"{generation.length:,} tokens per replica\nwhile it generates, {_gib(made.memory.stays)} GiB of the trainer "
        f"stay\nassumed: {hardware.reserve:g} GiB in reserve, {hardware.mfu:.0%} of {hardware.tflops:g} TFLOP/s, "
        f"{hardware.bandwidth_use:.0%} of {hardware.bandwidth:g} TB/s, {hardware.transfer:g} GB/s to the host"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(plain(column), justify="right" if number else "left")
    return table


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}"
