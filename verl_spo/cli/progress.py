"""A progress bar for a training run, from what the run writes to the store."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from verl_spo.cli.terminal import printable
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, queries

POLL_S = 1.0
LINE_EVERY_STEPS = 10
_SHOWN = ("spo/reward", "spo/pool/value", "val-core/")
_LOGGED = "timing_s/step"


@contextmanager
def follow(url: str, run_name: str, total_steps: int | None) -> Iterator[None]:
    """Show a run's progress while the block runs; without a terminal, a line for each phase and every few steps.

    Args:
        url: The store.
        run_name: The run, which may not have begun yet.
        total_steps: Training steps, where they are known.
    """
    console = Console(highlight=False)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        console=console,
        disable=not console.is_terminal,
    )
    ended = Event()
    with bar:
        task = bar.add_task(printable(run_name), total=total_steps, state="")
        thread = Thread(target=_watch, args=(url, run_name, bar, task, ended), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _watch(url: str, run_name: str, bar: Progress, task: TaskID, ended: Event) -> None:
    lines, reader = _Lines(), None
    while not ended.wait(POLL_S):
        # The database, or the run in it, may not be there yet; what is wrong with it, the training itself says.
        with suppress(StoreError):
            reader = reader or open_reader(url)
            phase, step, figures = _state(reader, run_name)
            bar.update(task, completed=step, state=phase or figures)
            if bar.disable and (line := lines.next(phase, step, figures)):
                bar.console.print(line, soft_wrap=True, markup=False)
    if reader is not None:
        reader.close()


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
    shown = [name for name in queries.metric_names(reader, [run.id]) if name.startswith(_SHOWN)]
    page = queries.metric_series(reader, [run.id], [*shown, _LOGGED])
    latest = {series.name: (int(series.steps[-1]), float(series.values[-1])) for series in page.series}
    step, _ = latest.pop(_LOGGED, (0, 0.0))
    figures = "  ".join(f"{name} {_of(value, at, step)}" for name, (at, value) in latest.items())
    return printable(run.phase or ""), step, printable(figures)


def _of(value: float, at: int, step: int) -> str:
    """A figure of a step; which one it was, where that was before this one."""
    return f"{value:.3f}" if at >= step else f"{value:.3f} (step {at})"
