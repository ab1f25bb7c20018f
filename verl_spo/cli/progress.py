"""A progress bar for a training run, from what the run writes to the store."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from verl_spo.cli.terminal import printable
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, queries

POLL_S = 2.0
STARTING = "starting Ray, the actor and vLLM (about a minute)"
LINE_EVERY_STEPS = 10
_NAMES = ("spo/reward", "spo/pool/value", "val-core/")


@contextmanager
def follow(url: str, run_name: str, total_steps: int | None) -> Iterator[None]:
    """Show a run's progress while the block runs; without a terminal, a line every few steps.

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
        task = bar.add_task(printable(run_name), total=total_steps, state=STARTING)
        thread = Thread(target=_watch, args=(url, run_name, bar, task, ended), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _watch(url: str, run_name: str, bar: Progress, task: TaskID, ended: Event) -> None:
    shown, reader = 0, None
    while not ended.wait(POLL_S):
        # The database, or the run in it, may not be there yet; what is wrong with it, the training itself says.
        with suppress(StoreError):
            reader = reader or open_reader(url)
            step, state = _state(reader, run_name)
            bar.update(task, completed=step, state=state)
            if bar.disable and step >= shown + LINE_EVERY_STEPS:
                bar.console.print(f"step {step}: {state}", soft_wrap=True, markup=False)
                shown = step
    if reader is not None:
        reader.close()


def _state(reader: Reader, run_name: str) -> tuple[int, str]:
    run = queries.run(reader, run_name).run
    if run.status != "running":
        return 0, STARTING
    names = [name for name in queries.metric_names(reader, [run.id]) if name.startswith(_NAMES)]
    page = queries.metric_series(reader, [run.id], names)
    latest = {series.name: series.values[-1] for series in page.series}
    return run.last_step, printable("  ".join(f"{name} {value:.3f}" for name, value in latest.items()))
