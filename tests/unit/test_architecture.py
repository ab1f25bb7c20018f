"""Who may import whom: the arrows of docs/architecture.md."""

import ast
from pathlib import Path

import pytest

import verl_spo

PACKAGE = Path(verl_spo.__file__).parent

ALLOWED = {
    "core": {"errors"},
    "data": {"errors"},
    "store": {"errors", "config", "core"},
    "training": {"errors", "config", "core", "data", "store"},
    "dashboard": {"errors", "config", "core", "store"},
    "cli": {"errors", "config", "core", "data", "store", "training", "dashboard"},
    "config": {"errors"},
    "errors": set(),
    "plugin": {"training"},
}
ONLY_HERE = {"verl": {"training"}, "sqlalchemy": {"store"}, "streamlit": {"dashboard"}, "alembic": {"store"}}


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
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_rooms_know_only_whom_they_may(name: str) -> None:
    files = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").is_file() else list((PACKAGE / name).rglob("*.py"))
    allowed = {name, "__version__", *ALLOWED[name]}
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {module}"
        for file in files
        for module in imports(file)
        if module.startswith("verl_spo.") and module.split(".")[1] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_library_has_one_room(library: str) -> None:
    users = {room(file) for file in PACKAGE.rglob("*.py") if any(m.split(".")[0] == library for m in imports(file))}
    assert users <= ONLY_HERE[library]


def test_core_needs_nothing_but_numpy() -> None:
    import sys

    libraries = {m.split(".")[0] for file in (PACKAGE / "core").rglob("*.py") for m in imports(file)}
    assert libraries - sys.stdlib_module_names <= {"numpy", "verl_spo"}
