"""Draw the rooms of the package and who imports whom.

    python docs/draw_architecture.py    # writes images/architecture.svg

A line leads from a room down to one that it imports; what follows from other lines is left out, and so are the modules
that everybody may import.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PICTURE = PROJECT / "docs" / "images" / "architecture.svg"
ROOTS = (PROJECT / "verl_spo", PROJECT / "dashboard" / "verl_spo_dashboard")
DASHBOARD = "dashboard"
EVERYBODYS = frozenset({"__init__", "__main__", "config", "data_file", "errors", "wording"})
"""Modules beside the folders that are no rooms."""

WIDTH, ROW, BOX_WIDTH, BOX_HEIGHT = 920, 92, 116, 38

Graph = Mapping[str, frozenset[str]]


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(picture())


def picture() -> str:
    """The picture of the tree as it is, as SVG."""
    graph = without_shortcuts(imports())
    return draw(graph, rows(graph))


def imports() -> Graph:
    """Which other rooms each room imports."""
    found: dict[str, set[str]] = {}
    for root in ROOTS:
        for file in sorted(root.rglob("*.py")):
            room = _room([root.name, *file.relative_to(root).with_suffix("").parts])
            if room not in EVERYBODYS:
                found.setdefault(room, set()).update(_room(module.split(".")) for module in _modules(file))
    return {room: frozenset(others & found.keys() - {room}) for room, others in found.items()}


def without_shortcuts(graph: Graph) -> Graph:
    """The fewest lines from which all others follow."""
    return {room: others - _reached(graph, others) for room, others in graph.items()}


def rows(graph: Graph) -> list[list[str]]:
    """Rooms from the top down, each right below the lowest that imports it; in a row, under those that do."""
    depths = {room: _depth(graph, room) for room in graph}
    made = [sorted(room for room in graph if depths[room] == level) for level in range(max(depths.values()) + 1)]
    for above, row in pairwise(made):
        row.sort(key=lambda room: (_middle(above, graph, room), room))
    return made


def draw(graph: Graph, placed: Sequence[Sequence[str]]) -> str:
    """SVG that is readable on light and dark pages."""
    at = {room: place for level, row in enumerate(placed) for room, place in zip(row, _places(level, row), strict=True)}
    lines = [line for room in at for other in sorted(graph[room]) for line in _line(at[room], at[other])]
    boxes = [box for room, place in at.items() for box in _box(room, place)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(placed)}" role="img">'
    title = "<title>Who imports whom: every line leads down</title>"
    return "\n".join([head, title, *lines, *boxes, "</svg>", ""])


def _modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(parts: Sequence[str]) -> str:
    """Of a module's dotted name; empty if it is not one of ours."""
    if parts[0] == ROOTS[1].name:
        return DASHBOARD
    return parts[1] if parts[0] == ROOTS[0].name and len(parts) > 1 else ""


def _reached(graph: Graph, rooms: frozenset[str]) -> frozenset[str]:
    """What some rooms import, directly or not."""
    direct = frozenset().union(*(graph[room] for room in rooms))
    return direct | _reached(graph, direct) if direct else direct


def _depth(graph: Graph, room: str) -> int:
    return 1 + max((_depth(graph, other) for other in graph if room in graph[other]), default=-1)


def _middle(above: Sequence[str], graph: Graph, room: str) -> float:
    """Where those stand that import a room, in parts of their row."""
    found = [place / len(above) for place, each in enumerate(above) if room in graph[each]]
    return sum(found) / len(found) if found else 1.0


def _places(level: int, row: Sequence[str]) -> Iterator[tuple[float, float]]:
    """The middle of each box of a row."""
    for number in range(len(row)):
        yield WIDTH * (number + 0.5) / len(row), ROW * level + ROW / 2


def _line(start: tuple[float, float], end: tuple[float, float]) -> Iterator[str]:
    (x1, y1), (x2, y2) = (start[0], start[1] + BOX_HEIGHT / 2), (end[0], end[1] - BOX_HEIGHT / 2)
    bend = (y1 + y2) / 2
    path = f"M{x1:.0f},{y1:.0f} C{x1:.0f},{bend:.0f} {x2:.0f},{bend:.0f} {x2:.0f},{y2:.0f}"
    yield f'<path d="{path}" fill="none" stroke="#8a94a0" stroke-width="1.3"/>'


def _box(room: str, place: tuple[float, float]) -> Iterator[str]:
    x, y = place[0] - BOX_WIDTH / 2, place[1] - BOX_HEIGHT / 2
    yield (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="#0072b2" stroke="none"/>'
    )
    yield (
        f'<text x="{place[0]:.0f}" y="{place[1] + 5:.0f}" text-anchor="middle" font-family="sans-serif" font-size="15" '
        f'fill="#ffffff">{room}</text>'
    )


if __name__ == "__main__":
    main()
