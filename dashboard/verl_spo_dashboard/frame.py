"""What every page of a run has around it: which run it is about, that run's state, and that the page goes on with it.

with frame.page("Training"):
    if chosen := frame.choose(compares=True):
        weight = _controls()
        frame.live(chosen, lambda database, runs: _draw(database, runs, weight))
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo_dashboard import address, alerts, data, parts, readers
from verl_spo_dashboard.wording import clock_time, duration

MOST_RUNS = 8
"""On one page: as many as there are colours."""

Draw = Callable[[Reader, Sequence[RunRow]], None]


@dataclass(frozen=True)
class Chosen:
    """The runs of a page: the one that it is about, and those that it is compared with."""

    database: Reader
    runs: Sequence[RunRow]

    @property
    def run(self) -> RunRow:
        """The run that the page is about."""
        return self.runs[0]


@contextmanager
def page(title: str) -> Iterator[None]:
    """A page under its title. What verl-spo raises on purpose is a message in it, and it tries again by itself."""
    st.title(title)
    with parts.errors_shown() as errors:
        yield
    if errors:
        st.fragment(_try_again, run_every=parts.SLOW_S)(time.monotonic())


def choose(compares: bool = False, changed: Callable[[], None] | None = None) -> Chosen | None:
    """Let the reader choose a run; None, with a hint in the page, while there is none.

    The address keeps what is chosen. Names of runs that are gone are passed over.

    Args:
        compares: Whether to choose others too, to compare it with.
        changed: Called when the reader has chosen another run.
    """
    database = data.reader()
    runs = queries.runs(database)
    if not runs:
        parts.no_runs()
        return None
    names = [run.name for run in runs]
    if address.RUN not in st.query_params:
        # The newest one, by its name: it will not be the newest for long.
        st.query_params[address.RUN] = names[0]
    left, right = st.columns(2) if compares else (st.container(), None)
    name = _run(left, names, changed)
    others = _others(right, names) if right else []
    chosen = data.by_names(runs, dict.fromkeys([name, *others])) if name else []
    if not chosen:
        st.info("Choose a run above.", icon=":material/list:")
        return None
    return Chosen(database, chosen)


def _run(place: DeltaGenerator, names: Sequence[str], changed: Callable[[], None] | None) -> str | None:
    """The widget of the page's run.

    It is not bound to the address: Streamlit would let no other page name the run when it leads here.
    """

    def put() -> None:
        st.query_params[address.RUN] = st.session_state[address.RUN] or names[0]
        if changed is not None:
            changed()

    named = st.query_params[address.RUN]
    st.session_state[address.RUN] = named if named in names else None
    return place.selectbox("Run", names, index=None, key=address.RUN, on_change=put)


def _others(place: DeltaGenerator, names: Sequence[str]) -> list[str]:
    """The widget of the runs that it is compared with, likewise."""

    def put() -> None:
        st.query_params[address.WITH] = st.session_state[address.WITH]

    named = dict.fromkeys(st.query_params.get_all(address.WITH))
    st.session_state[address.WITH] = [name for name in named if name in names][: MOST_RUNS - 1]
    return place.multiselect(
        "Compare with", names, key=address.WITH, max_selections=MOST_RUNS - 1, placeholder="None", on_change=put
    )


def live(chosen: Chosen, draw: Draw) -> None:
    """Draw what changes while runs train, now and again as long as they do, or until the reader pauses it.

    Args:
        chosen: The runs.
        draw: Given the database and the runs as they are by then.
    """
    pace = _pace(chosen.runs)
    st.fragment(_tick, run_every=pace)([run.id for run in chosen.runs], draw, pace)


def _tick(run_ids: Sequence[int], draw: Draw, pace: float | None) -> None:
    with parts.errors_shown() as errors:
        database = data.reader()
        found = {run.id: run for run in queries.runs(database, ids=run_ids)}
        runs = [found[number] for number in run_ids if number in found]
        if len(runs) != len(run_ids) or _pace(runs) != pace:
            st.rerun()
        _state(runs)
        parts.notes(runs, time.time())
        alerts.show(database, runs)
        draw(database, runs)
    if errors and pace is None:
        # Nobody would look again.
        st.fragment(_try_again, run_every=parts.SLOW_S)(time.monotonic())


def _pace(runs: Sequence[RunRow]) -> float | None:
    """Seconds between two looks; None if nothing will change, or the reader wants to look at this."""
    pace = None if st.session_state.get("paused") else parts.pace(runs)
    return None if pace is None else readers.pace(pace)


def _state(runs: Sequence[RunRow]) -> None:
    """One line: how the run does, when this was read, how old the last write is, and the way to stop and look."""
    now, first = time.time(), runs[0]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="state"):
        if len(runs) == 1:
            with st.container(width="content"):
                parts.badge(first)
        if parts.pace(runs) is None:
            st.caption(f"Nothing is running: read at {clock_time()}.")
            return
        written = f"last write {duration(now - first.heartbeat_at)} ago"
        st.caption(f"{'Paused' if st.session_state.get('paused') else 'Updated'} {clock_time()} · {written}")
        st.toggle("Pause", key="paused", help="Leave the page as it is; what is new comes when you go on.")


def _try_again(since: float) -> None:
    if time.monotonic() - since > parts.SLOW_S / 2:
        st.rerun()
