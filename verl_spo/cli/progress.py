"""Progress bars of a training run and of an evaluation, from what they write to the store."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from verl_spo.cli.terminal import printable
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.queries import EvaluationRow

POLL_S = 1.0
LINE_EVERY_STEPS = 10
# In this order, since the end of a narrow line is cut.
_SHOWN = (r"spo/reward$", r"val-core/", r"spo/pool/value$")
_LOGGED = "timing_s/step"


@contextmanager
def follow(url: str, run_name: str, total_steps: int | None) -> Iterator[None]:
    """Show a run's progress while the block runs; without a terminal, a line for each phase and every few steps.

    Args:
        url: The store.
        run_name: The run, which may not have begun yet.
        total_steps: Training steps, where they are known.
    """
    bar, lines = _bar("{task.fields[state]}"), _Lines()
    task = bar.add_task(printable(run_name), total=total_steps, state="")

    def look() -> None:
        with open_reader(url) as reader:
            phase, step, figures = _state(reader, run_name)
        bar.update(task, completed=step, state=phase or figures)
        if bar.disable and (line := lines.next(phase, step, figures)):
            bar.console.print(line, soft_wrap=True, markup=False)

    with _shown(bar, look):
        yield


@contextmanager
def follow_samples(rows: Callable[[], list[EvaluationRow]], samples: int) -> Iterator[None]:
    """Show how many samples there are while the block runs, if anybody is at a terminal.

    Args:
        rows: Gives the evaluations, a bar each.
        samples: Per problem, that are wanted.
    """
    bar, tasks = _bar(), dict[int, TaskID]()
    # Until the rollout engine is there, which takes minutes.
    loading = bar.add_task("loading the model", total=None)

    def look() -> None:
        for row in rows():
            bar.update(loading, visible=False)
            if row.id not in tasks:
                tasks[row.id] = bar.add_task(printable(row.benchmark), total=samples * row.problems)
            bar.update(tasks[row.id], total=samples * row.problems, completed=row.samples)

    with _shown(bar, look):
        yield


def _bar(*further: str) -> Progress:
    """A bar, and texts behind it that get the rest of the line: they are cut before the bar, steps or time are."""
    console = Console(highlight=False)
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=24)),
        BarColumn(20),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(Column(no_wrap=True)),
        *(TextColumn(text, markup=False, table_column=Column(no_wrap=True, ratio=1)) for text in further),
        console=console,
        disable=not console.is_terminal,
        expand=bool(further),
    )


@contextmanager
def _shown(bar: Progress, look: Callable[[], None]) -> Iterator[None]:
    """Show a bar while the block runs, and let `look` bring it up to date each second and at the end."""
    ended = Event()

    def watch() -> None:
        over = False
        while not over:
            over = ended.wait(POLL_S)
            # The database, or the run in it, may not be there yet; what is wrong with it, the training itself says.
            with suppress(StoreError):
                look()

    thread = Thread(target=watch, name="progress", daemon=True)
    with bar:
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Lines:
    """Which lines are worth their place where there is no bar."""

    def __init__(self) -> None:
        self._phase, self._step = "", 0

    def next(self, phase: str, step: int, figures: str) -> str:
        """A line, or nothing while there is little news."""
        if phase:
            said, self._phase = self._phase, phase
            return phase if phase != said else ""
        if step < self._step + LINE_EVERY_STEPS:
            return ""
        self._step = step
        return f"step {step}: {figures}"


def _state(reader: Reader, run_name: str) -> tuple[str, int, str]:
    """What the run does before its first step, the last step that verl has logged after its validation, its figures."""
    run = queries.run(reader, run_name).run
    names = queries.metric_names(reader, [run.id])
    shown = [name for pattern in _SHOWN for name in names if re.match(pattern, name)]
    page = queries.metric_series(reader, [run.id], [*shown, _LOGGED])
    latest = {series.name: (int(series.steps[-1]), float(series.values[-1])) for series in page.series}
    step, _ = latest.pop(_LOGGED, (0, 0.0))
    figures = "  ".join(f"{name} {_of(latest[name][1], latest[name][0], step)}" for name in shown if name in latest)
    return printable(run.phase or ""), step, printable(figures)


def _of(value: float, at: int, step: int) -> str:
    """A figure of a step; which one it was, where that was before this one."""
    return f"{value:.3f}" if at >= step else f"{value:.3f} (step {at})"
