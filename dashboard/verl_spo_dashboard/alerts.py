"""A run's alerts on the pages: what is wrong, since when, and what to do."""

import os
import time
from collections.abc import Sequence

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo.store.runs.status import Status
from verl_spo.watching import VARIABLE, Alert, AlertName, AlertRules, Severity, alerts
from verl_spo_dashboard.parts import BadgeColor

EVERY_S = 10.0
"""Seconds for which alerts of a run that goes on are not worked out again, however many people look at it."""

_SYMBOLS = {Severity.CRITICAL: "▲", Severity.WARNING: "△"}
_BADGES: dict[Severity, tuple[BadgeColor, str]] = {
    Severity.CRITICAL: ("red", ":material/error:"),
    Severity.WARNING: ("orange", ":material/warning:"),
}
_TOLD_ELSEWHERE = (AlertName.FAILED, AlertName.LOST)
"""What the page says of a run's status anyway."""


def of(database: Reader, run: RunRow) -> list[Alert]:
    """What is wrong with a run, worst first.

    Raises:
        ConfigError: The rules in the environment are not readable.
    """
    goes_on = run.ended_at is None
    tick = int(time.time() / EVERY_S) if goes_on else 0
    rules = os.environ.get(VARIABLE, "")
    return _alerts(database, str(database), run.name, run.uid, run.attempt, run.last_step, run.status, rules, tick)


def words(found: Sequence[Alert]) -> str:
    """The worst alert in a cell, by symbol and word, and how many more there are."""
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    return f"{_SYMBOLS[found[0].severity]} {found[0].severity}: {found[0].name}{more}" if found else ""


def show(database: Reader, runs: Sequence[RunRow]) -> None:
    """A block for each alert of the runs, with what to do; nothing while all is well."""
    for run in runs:
        for alert in of(database, run):
            if alert.name not in _TOLD_ELSEWHERE:
                _block(alert, run, named=len(runs) > 1)


def _block(alert: Alert, run: RunRow, named: bool) -> None:
    """One alert: words of ours in the coloured badge, all else as plain text."""
    color, icon = _BADGES[alert.severity]
    with st.container(border=True, gap="xxsmall", key=f"alert-{run.id}-{alert.name}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(f"{alert.severity}: {alert.name}", icon=icon, color=color, width="content")
            if named:
                st.text(run.name, width="content")
            if alert.since_step is not None:
                st.text(f"since step {alert.since_step:,}", width="content")
        st.text(alert.message)
        st.text(f"What to do: {alert.remedy}")


@st.cache_data(max_entries=1024, show_spinner=False)
def _alerts(
    _database: Reader,
    address: str,
    name: str,
    uid: str,
    attempt: int,
    last_step: int,
    status: Status,
    rules: str,
    tick: int,
) -> list[Alert]:
    """Alerts of a run as it is at a step; all but the first argument tell it from what was worked out before."""
    detail = queries.find_run(_database, name)
    return [] if detail is None else alerts(_database, detail, AlertRules.parse(rules.split()), time.time())
