"""Does it learn, and better than what? Every method at equal numbers of trajectories, over many seeds.

    python benchmarks/learning.py lab [--setting NAME ...] [--seeds 10]
    python benchmarks/learning.py tables

Two tiers share the mathematics (`verl_spo.core`), the prompts and the model: `lab` is a plain torch loop, cheap enough
for statistics; `verl` is real verl and vLLM. Both add rows to `benchmarks/results/learning_*.json`, a row a run, and
skip the runs that are already there. `tables` writes what stands between the marks in docs/learning.md.
"""

import argparse
import functools
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import report
import rows
import torch
from curves import curves
from lab.loop import Setting, run
from lab.methods import Variant
from lab.settings import SETTINGS
from lab.task import Task, make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from verl_spo.data.arithmetic import make_prompt_set
from verl_spo.data.recipe import Recipe
from verl_spo.data.tiny_model import is_current, make_tiny_model, read_card

REPOSITORY = Path(__file__).parent.parent
LAB_RESULTS = rows.RESULTS / "learning_lab.json"
DOCUMENT = REPOSITORY / "docs" / "learning.md"
MODELS = REPOSITORY / "outputs" / "lab"


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    lab = commands.add_parser("lab", help="run the lab tier")
    lab.add_argument("--setting", nargs="*", choices=[setting.name for setting in SETTINGS], help="default: all")
    lab.add_argument("--seeds", type=int, nargs="*", default=list(range(10)), help="default: 0 to 9")
    lab.set_defaults(command=lambda given: run_lab(given.setting, given.seeds))
    tables = commands.add_parser("tables", help="write the tables and plots of docs/learning.md")
    tables.set_defaults(command=lambda given: write_tables())
    given = parser.parse_args()
    given.command(given)


def run_lab(names: Sequence[str] | None, seeds: Sequence[int]) -> None:
    """Run whatever is missing; all lines of a seed before the next seed, so that an unfinished table is balanced."""
    torch.set_num_threads(1)
    for setting, variants in SETTINGS.items():
        if names is None or setting.name in names:
            task = lab_task(setting.pool)
            for seed, variant in missing(setting, variants, seeds, task.policy_digest):
                run_one(task, setting, variant, seed)


def missing(
    setting: Setting, variants: Sequence[Variant], seeds: Sequence[int], policy: str
) -> list[tuple[int, Variant]]:
    """The runs of a setting that the results do not have yet.

    Raises:
        ValueError: There are rows from another starting policy.
    """
    known = [row for row in rows.load([LAB_RESULTS]) if row.setting == setting.name]
    if others := {row.policy for row in known} - {policy}:
        raise ValueError(f"{LAB_RESULTS}: has runs from the model {others}, this is {policy}; move the file away")
    there = {(row.seed, *row.line) for row in known}
    lines = [(variant, (variant.method, variant.retention, variant.normalization)) for variant in variants]
    return [(seed, variant) for seed in seeds for variant, line in lines if (seed, *line) not in there]


def run_one(task: Task, setting: Setting, variant: Variant, seed: int) -> None:
    """Make one run and keep its row."""
    started = time.monotonic()
    row = run(task, setting, variant, seed)
    rows.add(LAB_RESULTS, row)
    name = " ".join(filter(None, row.line))
    print(
        f"{setting.name}, seed {seed}, {name}: area {row.area:.3f}, final {row.final:.3f} "
        f"({time.monotonic() - started:.0f} s)",
        flush=True,
    )


@functools.cache
def lab_task(pool: int) -> Task:
    """The demo's prompts and model, or more of the same; models are kept under outputs/."""
    prompts, folder = make_prompt_set(train=pool), MODELS / f"pool-{pool}"
    if not is_current(folder, prompts, Recipe()):
        print(f"training the starting policy for {pool} prompts ...", flush=True)
        make_tiny_model(prompts).save(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return make_task(
        prompts, tokenizer, model, policy_digest=blake2b(str(read_card(folder)).encode(), digest_size=4).hexdigest()
    )


def write_tables() -> None:
    """Put a table and a plot for each tier and setting between their marks in the document."""
    document = DOCUMENT.read_text()
    everything = rows.load(sorted(rows.RESULTS.glob("learning_*.json")))
    for tier, setting in dict.fromkeys((row.tier, row.setting) for row in everything):
        chosen = [row for row in everything if (row.tier, row.setting) == (tier, setting)]
        plot = DOCUMENT.with_name(f"learning-{tier}-{setting.replace(' ', '-')}.svg")
        plot.write_text(curves(report.lines(chosen), report.SHOWN))
        picture = f"![Expected reward over trajectories, {tier} tier, {setting}]({plot.name})"
        document = between_marks(document, f"{tier} {setting}", f"{report.table(chosen)}\n\n{picture}")
    DOCUMENT.write_text(document)


def between_marks(document: str, name: str, text: str) -> str:
    """Replace what stands between the marks of `name`.

    Raises:
        ValueError: The document has no such marks.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in document or end not in document:
        raise ValueError(f"{DOCUMENT}: has no marks {begin} ... {end} for these results")
    head, _, rest = document.partition(begin)
    return f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    main()
