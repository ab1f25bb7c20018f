"""Does it learn, and better than what? Every method at equal numbers of trajectories, over many seeds.

    python -m benchmarks.learning lab [--setting NAME ...] [--seeds 0 1 ...]
    python -m benchmarks.learning verl [--seeds 0 1 ...]
    python -m benchmarks.learning variance [--seeds 0 1 ...]
    python -m benchmarks.learning parts [--seeds 0 1 ...]
    python -m benchmarks.learning tables

Two tiers share the mathematics (`verl_spo.core`), the prompts and the model: `lab` is a plain torch loop, cheap enough
for statistics; `verl` is real verl and vLLM. Both add rows to `benchmarks/results/learning/`, a row per run, and skip
the runs that are already there. `tables` writes what stands between the marks in docs/learning.md.
"""

import argparse
import functools
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.documents import between_marks
from benchmarks.learning import report, rows, settings
from benchmarks.learning.curves import curves
from benchmarks.learning.lab import loop, pools, variance
from benchmarks.learning.lab.loop import ADDITIONS, SORTING, Setting
from benchmarks.learning.lab.methods import Variant
from benchmarks.learning.lab.sorting import make_sorting
from benchmarks.learning.lab.task import Task, make_task
from benchmarks.learning.real import parts, trial
from benchmarks.learning.rows import Row
from verl_spo.demo.arithmetic import make_prompt_set, write_prompt_set
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tiny_model import is_current, make_tiny_model, read_card

REPOSITORY = Path(__file__).parents[2]
OUTPUTS = REPOSITORY / "outputs"
DOCUMENT = REPOSITORY / "docs" / "learning.md"
VARIANCE = rows.RESULTS / "gradient_variance.json"
DEFAULT_POOL = 1024
PARTS = rows.RESULTS / "asynchronous_parts.json"
Tables = Mapping[Setting, Sequence[Variant]]


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    lab = commands.add_parser("lab", help="run the lab tier")
    lab.add_argument("--setting", nargs="*", choices=[setting.name for setting in settings.LAB], help="default: all")
    lab.add_argument("--seeds", type=int, nargs="*", default=list(range(10)), help="default: 0 to 9")
    lab.set_defaults(command=lambda given: run_lab(given.setting, given.seeds))
    verl = commands.add_parser("verl", help="run the verl tier")
    verl.add_argument("--seeds", type=int, nargs="*", default=list(range(3)), help="default: 0 to 2")
    verl.set_defaults(command=lambda given: run_missing("verl", settings.VERL, given.seeds, run_verl))
    gradients = commands.add_parser("variance", help="measure the gradient's variance under each baseline")
    gradients.add_argument("--seeds", type=int, nargs="*", default=list(range(5)), help="default: 0 to 4")
    gradients.set_defaults(command=lambda given: measure_variance(given.seeds))
    in_parts = commands.add_parser("parts", help="normalize real asynchronous batches in several ways")
    in_parts.add_argument("--seeds", type=int, nargs="*", default=list(range(3)), help="default: 0 to 2")
    in_parts.set_defaults(command=lambda given: measure_parts(given.seeds))
    tables = commands.add_parser("tables", help="write the tables and plots of docs/learning.md")
    tables.set_defaults(command=lambda given: write_tables())
    given = parser.parse_args()
    given.command(given)


def run_lab(names: Sequence[str] | None, seeds: Sequence[int]) -> None:
    """Run what is missing of the lab tier."""
    torch.set_num_threads(1)
    chosen = {setting: variants for setting, variants in settings.LAB.items() if names is None or setting.name in names}
    run_missing("lab", chosen, seeds, loop.run)


def measure_variance(seeds: Sequence[int]) -> None:
    """Measure, and keep the points."""
    torch.set_num_threads(1)
    setting = next(iter(settings.LAB))
    task = make_or_load_task(setting.pool)
    points = [
        point for seed in seeds for point in variance.measure(task, setting, seed, (0, 20, 40, 80, 120, 160), 800)
    ]
    VARIANCE.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")
    print(variance.table(points), variance.stand_in_table(points), sep="\n\n")


def measure_parts(seeds: Sequence[int]) -> None:
    """Measure by real verl, and keep what was measured."""
    data = prompt_files(parts.SETTING.pool)
    make_or_load_task(parts.SETTING.pool)
    measured = []
    for seed, arrival in itertools.product(seeds, parts.ARRIVALS):
        folder = OUTPUTS / "verl" / f"parts-{arrival}-{seed}".replace(" ", "-")
        measured.append(parts.measure(arrival, seed, trial.Files(model_folder(parts.SETTING.pool), data, folder)))
        print(measured[-1], flush=True)
    PARTS.write_text(json.dumps([asdict(each) for each in measured], indent=1) + "\n")
    print(parts.table(measured))


def run_verl(task: Task, setting: Setting, variant: Variant, seed: int) -> Row:
    """One run of the verl tier, in a folder of its own under outputs/."""
    data = prompt_files(setting.pool)
    name = "-".join([setting.name, *filter(None, key_of(variant)), str(seed)]).replace(" ", "-")
    return trial.run(
        task, setting, variant, seed, trial.Files(model_folder(setting.pool), data, OUTPUTS / "verl" / name)
    )


def prompt_files(pool: int) -> Path:
    """A folder with the files of so many prompts, as verl reads them; written anew."""
    folder = OUTPUTS / "verl" / f"pool-{pool}"
    write_prompt_set(make_prompt_set(train=pool), folder)
    return folder


def run_missing(
    tier: str, tables: Tables, seeds: Sequence[int], run: Callable[[Task, Setting, Variant, int], Row]
) -> None:
    """Make and keep what is missing; all variants of a seed before the next seed, so that tables stay balanced."""
    for setting, variants in tables.items():
        path, task = results(tier, setting), task_of(setting)
        for seed, variant in missing(path, setting, variants, seeds, task.policy_digest):
            started = time.monotonic()
            row = run(task, setting, variant, seed)
            rows.add(path, row)
            print(
                f"{tier}, {setting.name}, seed {seed}, {' '.join(filter(None, row.variant))}: area {row.area:.3f}, "
                f"final {row.final:.3f} ({time.monotonic() - started:.0f} s)",
                flush=True,
            )


def results(tier: str, setting: Setting) -> Path:
    """The file of a setting's rows."""
    return rows.LEARNING / f"{stem(tier, setting.name)}.json"


def stem(tier: str, setting: str) -> str:
    """A setting in the names of files."""
    return f"{tier}-{setting}".replace(",", "").replace(" ", "-")


def missing(
    path: Path, setting: Setting, variants: Sequence[Variant], seeds: Sequence[int], policy: str
) -> list[tuple[int, Variant]]:
    """The runs of a setting that a result file does not have yet.

    Raises:
        ValueError: A seed has rows from another starting policy: its methods would not be compared with each other.
    """
    known = [row for row in rows.load([path]) if row.setting == setting.name]
    there = {(row.seed, row.variant) for row in known}
    wanted = [(seed, variant) for seed in seeds for variant in variants if (seed, key_of(variant)) not in there]
    begun = {row.seed for row in known if row.policy != policy}
    if others := sorted(begun & {seed for seed, _ in wanted}):
        raise ValueError(
            f"{path}: {setting.name}, seeds {others}: begun from another model than {policy}; use other seeds"
        )
    return wanted


def key_of(variant: Variant) -> rows.VariantKey:
    """A variant as its rows name it."""
    return variant.method, variant.retention, variant.normalization


def model_folder(pool: int) -> Path:
    """Where the starting policy for so many prompts is kept."""
    return OUTPUTS / "lab" / f"pool-{pool}"


@functools.cache
def task_of(setting: Setting) -> Task:
    """The prompts of a setting, and the model that it starts from."""
    if setting.prompts == SORTING:
        return make_sorting(OUTPUTS / "lab" / "sorting", setting.pool)
    if setting.prompts != ADDITIONS:
        return pools.make_pool(make_or_load_task(DEFAULT_POOL), setting.prompts, setting.pool)
    task = make_or_load_task(setting.pool)
    return (
        replace(task, later=pools.without_carries(task, make_prompt_set(train=setting.pool))) if setting.shift else task
    )


@functools.cache
def make_or_load_task(pool: int) -> Task:
    """The demo's prompts and model, or more of the same; models are kept under outputs/."""
    prompts, folder = make_prompt_set(train=pool), model_folder(pool)
    if not is_current(folder, prompts, Recipe()):
        print(f"training the starting policy for {pool} prompts ...", flush=True)
        make_tiny_model(prompts).save(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    digest = blake2b(str(read_card(folder)).encode(), digest_size=4).hexdigest()
    return make_task(prompts.train, prompts.validation, tokenizer, model, digest)


def write_tables() -> None:
    """Put a table and a plot for each tier and setting between their marks in the document."""
    document = DOCUMENT.read_text()
    everything = rows.load(sorted(rows.LEARNING.glob("*.json")))
    for tier, setting in dict.fromkeys((row.tier, row.setting) for row in everything):
        chosen = [row for row in everything if (row.tier, row.setting) == (tier, setting)]
        plot = DOCUMENT.with_name(f"learning-{stem(tier, setting)}.svg")
        curves(report.by_variant(chosen), report.SHOWN).save(plot)
        picture = f"![Expected reward over trajectories, {tier} tier, {setting}]({plot.name})"
        document = between_marks(document, f"{tier} {setting}", f"{report.table(chosen)}\n\n{picture}")
    document = between_marks(document, "agreement", report.agreement(everything, "default"))
    points = [variance.Point(**point) for point in json.loads(VARIANCE.read_text())]
    document = between_marks(document, "variance", variance.table(points))
    document = between_marks(document, "stand-ins", variance.stand_in_table(points))
    measured = [parts.Measured(**each) for each in json.loads(PARTS.read_text())]
    document = between_marks(document, "verl parts", parts.table(measured))
    DOCUMENT.write_text(document)
