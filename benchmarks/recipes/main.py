"""Write docs/recipes/: a page per recipe, from its files, its configuration and its plan.

python -m benchmarks.recipes            # the pages, from the plans in benchmarks/results/plans.json
python -m benchmarks.recipes --plan     # make the plans anew: half a minute each
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.recipes.page import render
from verl_spo.launching import compose, recipes

PROJECT = Path(__file__).parents[2]
PLANS = PROJECT / "benchmarks" / "results" / "plans.json"
PAGES = PROJECT / "docs" / "recipes"

MEMORY = {"qwen3_8b": 80, "qwen3_0_6b": 24}
"""GiB of the GPUs that a group's recipes are made for; no plan is made of the others, which train a tiny model."""


def main() -> None:
    """Plan, if asked, and write every page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("--plan", action="store_true", help="make the plans anew")
    if parser.parse_args().plan:
        PLANS.write_text(json.dumps(make_plans(), indent=1) + "\n")
    for recipe, text in pages().items():
        page = PAGES / f"{recipe}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text)


def pages() -> dict[str, str]:
    """Every recipe's page, by the recipe's name."""
    plans = json.loads(PLANS.read_text())
    return {
        recipe: render(recipe, compose.load(recipe, []), plans["recipes"].get(recipe), plans["date"])
        for recipe in recipes.names()
    }


def make_plans() -> dict[str, Any]:
    """`verl-spo plan` of every recipe for large GPUs, and the date."""
    memory = {recipe: MEMORY.get(recipe.partition("/")[0]) for recipe in recipes.names()}
    plans = {recipe: _plan(recipe, size) for recipe, size in memory.items() if size is not None}
    return {"date": date.today().isoformat(), "recipes": plans}


def _plan(recipe: str, memory: int) -> Any:
    command = [sys.executable, "-m", "verl_spo", "plan", recipe, "--memory", str(memory), "--json"]
    plan = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # A folder of this machine.
    del plan["model"]["folder"]
    return plan
