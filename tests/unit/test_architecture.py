"""Who may import whom: the arrows of docs/architecture.md."""

import ast
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest

import verl_spo

PACKAGE = Path(verl_spo.__file__).parent
DASHBOARD = PACKAGE.parent / "dashboard" / "verl_spo_dashboard"

# By folder, or by module where one lies beside the folders.
ALLOWED = {
    "core": {"errors", "config"},
    "cpu": {"errors"},
    "demo": {"errors"},
    "tools": set(),
    "rewards": {"errors"},
    "datasets": {"errors", "data_file"},
    "evaluation": {"errors", "rewards", "store"},
    "store": {"errors", "config", "core"},
    "training": {"errors", "config", "core", "rewards", "store", "tools"},
    "launching": {"errors", "config", "cpu", "store", "training"},
    "planning": {"errors", "config", "training"},
    "watching": {"errors", "config", "store"},
    "simulation": {"errors", "store"},
    "verl_spo_dashboard": {"errors", "config", "core", "data_file", "evaluation", "store", "watching", "wording"},
    "cli": {
        "errors",
        "config",
        "core",
        "cpu",
        "datasets",
        "demo",
        "evaluation",
        "rewards",
        "store",
        "training",
        "launching",
        "planning",
        "watching",
        "simulation",
        "verl_spo_dashboard",
        "wording",
    },
    "config": {"errors"},
    "errors": set(),
    "data_file": set(),
    "wording": set(),
    "plugin": {"cpu", "training", "launching"},
}
# The same one level down.
INSIDE = {
    "store": {
        "database": {"schema", "text"},
        "migrations": {"schema"},
        "bulk": set(),
        "search": {"bulk", "schema"},
        "tracker": {"bulk", "records", "schema"},
        "prompts": {"bulk", "records", "schema", "search", "text"},
        "runs": {"database", "records", "schema", "text", "tracker"},
        "evaluations": {"bulk", "database", "prompts", "records", "schema", "text"},
        "writing": {"bulk", "database", "evaluations", "prompts", "records", "runs", "schema", "text", "tracker"},
        "queries": {"bulk", "database", "records", "runs", "schema", "search", "text", "tracker"},
        "transfer": {"bulk", "database", "prompts", "queries", "records", "runs", "schema", "text", "tracker"},
        "schema": set(),
        "records": {"text"},
        "text": set(),
    },
    "training": {
        "agent_loop_names": set(),
        "verl_options": {"agent_loop_names", "launcher"},
        "launcher": set(),
        "phases": {"launcher"},
        "quiet": set(),
        "estimator": set(),
        "policy_loss": set(),
        "seeding": set(),
        "agent_loop": {"agent_loop_names", "seeding"},
        "benchmarks": {"prompts", "seeding"},
        "samples": {"agent_loop_names", "seeding", "sessions", "trajectories"},
        "validation": {"benchmarks", "samples", "verl_options"},
        "evaluation": {"benchmarks", "launcher", "samples", "seeding", "trajectories", "verl_options"},
        "provenance": set(),
        "plugin_check": set(),
        "deadline": set(),
        "checkpoint": set(),
        "prompts": set(),
        "trajectories": set(),
        "sessions": {"trajectories"},
        "metrics": set(),
        "store_location": {"provenance"},
        "architecture": {"verl_options"},
        "parallelism": {"verl_options"},
        "preflight": {"architecture", "checkpoint", "parallelism", "store_location", "verl_options"},
        "recorder": {"checkpoint", "launcher", "prompts", "provenance", "sessions", "verl_options"},
        "initial": {"prompts", "recorder", "trajectories", "verl_options"},
        "rescoring": {"trajectories", "verl_options"},
    },
    "launching": {
        "recipes": set(),
        "search_path": {"recipes"},
        "compose": {"recipes", "search_path"},
        "processes": set(),
        "stopping": set(),
        "log": set(),
        "failures": set(),
        "registration": set(),
        "run_folder": set(),
        "secrets": set(),
        "cluster": {"processes", "recipes"},
        "endings": {"failures", "log", "processes"},
        "launch": {
            "cluster",
            "compose",
            "endings",
            "log",
            "processes",
            "recipes",
            "registration",
            "run_folder",
            "secrets",
            "stopping",
        },
        "policies": set(),
        "evaluation": {"compose", "launch", "policies", "recipes", "secrets"},
        "nodes": {"cluster"},
        "doctor": {"compose", "nodes"},
        "commands": {"launch", "recipes", "secrets"},
        "targets": {"commands", "compose", "processes", "secrets"},
    },
}
ONLY_HERE = {
    "verl": {"training", "cpu", "tools", "rewards", "planning"},
    "sqlalchemy": {"store"},
    "streamlit": {"verl_spo_dashboard"},
    "alembic": {"store"},
    "math_verify": {"rewards"},
    "pebble": {"rewards"},
    "simpy": {"simulation"},
}


@cache
def imports(file: Path) -> set[str]:
    """Dotted names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def room(file: Path) -> str:
    """Of a file: its folder in `verl_spo`, its name if it lies in none, or the dashboard."""
    if file.is_relative_to(DASHBOARD):
        return DASHBOARD.name
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def target(module: str) -> str:
    """The room of an imported module of ours; of another's, its distribution's."""
    first, *rest = module.split(".")
    return rest[0] if first == PACKAGE.name and rest else first


FILES = [*PACKAGE.rglob("*.py"), *DASHBOARD.rglob("*.py")]


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_rooms_know_only_whom_they_may(name: str) -> None:
    allowed = {name, "__version__", PACKAGE.name, *ALLOWED[name]}
    wrong = [
        f"{file.relative_to(PACKAGE.parent)} imports {module}"
        for file in FILES
        for module in imports(file)
        if room(file) == name and module.startswith(("verl_spo.", "verl_spo_")) and target(module) not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder in INSIDE for name in INSIDE[folder]])
def test_rooms_inside_a_folder_know_only_whom_they_may(folder: str, name: str) -> None:
    root = PACKAGE / folder
    files = [root / f"{name}.py"] if (root / f"{name}.py").is_file() else list((root / name).rglob("*.py"))
    assert files
    wrong = [
        f"{file.relative_to(root)} imports {module}"
        for file in files
        for module in imports(file)
        if module.startswith(f"verl_spo.{folder}.") and module.split(".")[2] not in {name, *INSIDE[folder][name]}
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_library_has_one_room(library: str) -> None:
    users = {room(file) for file in FILES if any(m.split(".")[0] == library for m in imports(file))}
    assert users <= ONLY_HERE[library]


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("core", {"numpy"}),
        ("evaluation", {"numpy", "scipy", "altair", "vl_convert", "jinja2", "markupsafe"}),
        ("simulation", {"numpy", "scipy", "simpy", "altair"}),
    ],
)
def test_rooms_need_few_libraries(name: str, needs: set[str]) -> None:
    libraries = {m.split(".")[0] for file in (PACKAGE / name).rglob("*.py") for m in imports(file)}
    assert libraries - sys.stdlib_module_names <= {*needs, "verl_spo"}


def test_the_picture_shows_the_imports_that_there_are() -> None:
    drawn = runpy.run_path(str(PACKAGE.parent / "docs" / "draw_architecture.py"))
    assert drawn["PICTURE"].read_text() == drawn["picture"](), "run `python docs/draw_architecture.py`"
    assert {"cli", "core", "store", "training"} <= drawn["imports"]().keys()


def test_a_line_that_follows_from_others_is_left_out() -> None:
    drawn = runpy.run_path(str(PACKAGE.parent / "docs" / "draw_architecture.py"))
    graph = {"a": frozenset("bcd"), "b": frozenset("c"), "c": frozenset("d"), "d": frozenset()}
    kept = drawn["without_shortcuts"](graph)
    assert {room: set(others) for room, others in kept.items()} == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert drawn["rows"](kept) == [["a"], ["b"], ["c"], ["d"]]
