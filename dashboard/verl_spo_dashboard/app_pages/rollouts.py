"""What the model answered in a run: every text that was kept, and one of them beside the table."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RolloutFilter, RolloutPage, RolloutRow, RunRow
from verl_spo_dashboard import address, charts, choosing, frame, one_rollout, rollout_filters
from verl_spo_dashboard.charts import CHOSEN, Titles
from verl_spo_dashboard.one_rollout import key_of, named
from verl_spo_dashboard.wording import counted

PAGE_ROWS = 20
LOOKED_AT = 5_000
"""Rollouts that one look takes in: a filter that leaves few of them does not read the whole history."""

SEARCHED = 1_000
"""Likewise where words are looked for, for which every text is unpacked: about a third of a second."""

_BINS = 20
_ALL = (0.0, 1.0)
_ROLLOUT, _AFTER = "rollout", "after"


def _page() -> None:
    with frame.page("Rollouts"):
        _open_step()
        if chosen := frame.choose(changed=_from_newest):
            where = _controls(chosen)
            frame.live(chosen, lambda database, runs: _draw(database, runs[0], where))


def _open_step() -> None:
    """A link to one step is the range of it."""
    if (step := address.number("step")) is not None:
        del st.query_params["step"]
        for end in ("from", "to"):
            st.session_state[end] = step
            st.query_params[end] = str(step)


def _controls(chosen: frame.Chosen) -> RolloutFilter:
    """Which rollouts, but for their rewards. The address keeps it all."""
    sources = queries.data_sources(chosen.database, chosen.run.id)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words = rollout_filters.words(_from_newest)
        first, last = (
            st.number_input(
                label, 0, None, None, key=key, bind="query-params", on_change=_from_newest, width=130, placeholder="Any"
            )
            for label, key in (("From step", "from"), ("To step", "to"))
        )
        shortest, longest = (
            st.number_input(
                label, 0, None, None, key=key, bind="query-params", on_change=_from_newest, width=130, placeholder="Any"
            )
            for label, key in (("Tokens from", "shortest"), ("Tokens to", "longest"))
        )
        finish = rollout_filters.finish(_from_newest)
        source = None
        if len(sources) > 1:
            source = st.selectbox(
                "Source", sources, index=None, key="source", placeholder="All", bind="query-params",
                on_change=_from_newest, width=180,
            )  # fmt: skip
    return RolloutFilter(
        steps=(first, last),
        length=(shortest, longest),
        finish=finish,
        source=source,
        words=words,
    )


def _from_newest() -> None:
    st.query_params.pop(_AFTER, None)


def _draw(database: Reader, run: RunRow, where: RolloutFilter) -> None:
    left, right = st.columns([5, 4], gap="large")
    with left:
        # A click on a bar is heard here only, and moves the slider.
        where = replace(where, reward=_rewards(database, run, where))
        after = key_of(st.query_params.get(_AFTER))
        most = SEARCHED if where.words else LOOKED_AT
        page = queries.rollouts(database, run.id, where, after, limit=PAGE_ROWS, most=most)
        _table(page.rows)
        _further(page)
    with right:
        _one(database, run)


def _rewards(database: Reader, run: RunRow, where: RolloutFilter) -> tuple[float | None, float | None]:
    """The range of rewards that is chosen, below how the rewards of the chosen steps are spread."""
    above = st.container()
    low, high = st.slider(
        "Reward", *_ALL, _ALL, 0.05, key="reward", bind="query-params", on_change=_from_newest,
        help="Or click a bar of the histogram.",
    )  # fmt: skip
    found = queries.reward_histogram(database, run.id, where.steps, _BINS)
    if found.since_step is not None:
        total = int(found.counts.sum())
        which = "all" if found.complete else f"the newest, from step {found.since_step:,} on"
        subtitle = f"of the {total:,} trajectories of these steps, {which}; click a bar to filter"
        spec = charts.rewards(found.counts, (low, high), Titles("Rewards", subtitle, "trajectories"))
        above.vega_lite_chart(spec, key="rewards", on_select=_filter_reward, selection_mode=CHOSEN)
    return None if low == _ALL[0] else low, None if high == _ALL[1] else high


def _filter_reward() -> None:
    picked = st.session_state["rewards"]["selection"].get(CHOSEN)
    low, high = (picked[0]["low"], picked[0]["high"]) if picked else _ALL
    st.session_state["reward"] = (round(float(low), 2), round(float(high), 2))
    _from_newest()


def _table(rows: Sequence[RolloutRow]) -> None:
    """The table; a chosen row opens the rollout."""
    if not rows:
        return
    choosing.table(
        one_rollout.columns(rows), _ROLLOUT, [named(row.observation.key) for row in rows],
        column_config=one_rollout.layout(), height="content", alt="Rollouts",
    )  # fmt: skip


def _further(page: RolloutPage) -> None:
    """What was looked at, and the way on."""
    if not page.looked_at:
        st.info(
            "No text is kept of these steps: a run keeps the share spo.store.rollout_fraction of its texts.",
            icon=":material/search_off:",
        )
    else:
        back = f", back to step {page.until_step:,}" if page.until_step is not None else ""
        end = "" if page.next else ": there are no older ones"
        st.text(f"{counted(len(page.rows), 'rollout')} of {page.looked_at:,} looked at{back}{end}")
    with st.container(horizontal=True, gap="small"):
        if page.next and st.button("Look further back", icon=":material/history:"):
            st.query_params[_AFTER] = named(page.next)
            st.rerun()
        if _AFTER in st.query_params and st.button("Back to the newest", icon=":material/vertical_align_top:"):
            _from_newest()
            st.rerun()


def _one(database: Reader, run: RunRow) -> None:
    key = key_of(st.query_params.get(_ROLLOUT))
    if key is None:
        st.info("Click a rollout to read it.", icon=":material/ads_click:")
        return
    found = queries.rollout(database, run.id, *key)
    if found is None:
        st.info("No text of this rollout is kept: older ones make room for new ones.", icon=":material/search_off:")
        return
    one_rollout.show(found)


_page()
