"""The documentation names all there is: every command, option, table and metric."""

import re
import runpy
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from typer.main import get_command

from verl_spo.cli.main import app
from verl_spo.config import RetentionKind, SPOConfig, StoreConfig
from verl_spo.core.spo import SPO
from verl_spo.launching import recipes
from verl_spo.launching.failures import REMEDIES
from verl_spo.store.schema import Base
from verl_spo.training.metrics import step_metrics

PROJECT = Path(__file__).parents[2]
DOCUMENTS = "\n".join(path.read_text() for path in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")))


def commands(command: Any, typed: str = "verl-spo") -> list[str]:
    """Every command that can be typed."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [typed]
    return [name for each in inner for name in commands(inner[each], f"{typed} {each}")]


@pytest.mark.parametrize("command", commands(get_command(app)))
def test_every_command_is_documented(command: str) -> None:
    assert re.search(rf"{re.escape(command)}\b", DOCUMENTS)


def test_every_option_is_explained_in_the_option_reference() -> None:
    explained: set[str] = set()
    for paragraph in (PROJECT / "recipes" / "spo" / "spo.yaml").read_text().split("\n\n"):
        comment = [line for line in paragraph.splitlines() if line.lstrip().startswith("#")]
        options = re.findall(r"^ *(\w+):", re.sub(r"(?m)^ *#.*", "", paragraph), re.MULTILINE)
        explained |= set(options) if comment else set()
    assert {field.name for field in (*fields(SPOConfig), *fields(StoreConfig))} <= explained | {"store"}


def test_the_readmes_python_runs() -> None:
    document = Sybil([PythonCodeBlockParser()]).parse(PROJECT / "README.md")
    document.namespace.update(prompts=range(1000), rewards=np.linspace(0, 1, 256))
    for example in document.examples():
        example.evaluate()
    assert np.isfinite(document.namespace["done"].advantages).all()


def test_the_reference_has_every_table_as_it_is() -> None:
    written = runpy.run_path(str(PROJECT / "docs" / "write_schema.py"))
    assert written["DOCUMENT"].read_text() == written["page"](), "`make reference` writes it anew"
    assert written["page"]().count("\n## ") == len(Base.metadata.tables)


@pytest.mark.parametrize("table", [*Base.metadata.tables, "observation_history"])
def test_every_table_is_documented(table: str) -> None:
    assert f"`{table}`" in (PROJECT / "docs" / "store.md").read_text()


@pytest.mark.parametrize("message", REMEDIES)
def test_every_message_with_a_remedy_is_documented(message: str) -> None:
    assert f"`{message}`" in (PROJECT / "docs" / "troubleshooting.md").read_text()


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_is_documented(recipe: str) -> None:
    folder, name = recipe.split("/")
    assert recipe in DOCUMENTS or f"`{name}`" in DOCUMENTS or f"`{folder}/*`" in DOCUMENTS


def test_the_documented_metrics_are_those_that_there_are() -> None:
    logged = {name for retention in get_args(RetentionKind) for name in logged_with(retention)}
    named = set(re.findall(r"`(spo/[^`]+)`", (PROJECT / "docs" / "metrics.md").read_text()))
    assert named == {re.sub(r"/(mean|std|p[0-9]+)$", "/...", name) for name in logged}


def logged_with(retention: RetentionKind) -> Iterable[str]:
    spo = SPO(SPOConfig(retention=retention), pool_size=8, batch_size=4)
    for _ in range(2):
        drawn = spo.dispatch(4)
        done = spo.complete(drawn.uids, [0, 1, 0, 1], policy_change=np.full(4, 0.02))
        spo.publish(0.02)
    return step_metrics(spo, done, failed=0, update_change=0.02, queue_depth=0, disk_free_gb=9.5)
