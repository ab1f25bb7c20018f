"""One rollout: what came of it, and who wrote what in its session."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from verl_spo.store.queries import ObservationRow, RolloutKey, RolloutRow
from verl_spo.store.text import Part
from verl_spo_dashboard import asked, charts, pages, texts, tool_calls
from verl_spo_dashboard.wording import NOTHING, counted, duration, number

FINISHES = {"stop": "ended", "length": "cut off"}
"""How a session ended, in words: by the model, or where its room ends."""

_ENDS = {"stop": "ended by the model", "length": "cut off where data.max_response_length ends"}
_SNIPPET = 60


def named(key: RolloutKey) -> str:
    """A rollout's key as the address has it: step, attempt and place, with points between them."""
    return ".".join(map(str, key))


def key_of(text: str | None) -> RolloutKey | None:
    """The key that a part of the address names; None if it names none."""
    numbers = (text or "").split(".")
    if len(numbers) != 3 or not all(each.isdecimal() and len(each) < 16 for each in numbers):
        return None
    step, attempt, seq = map(int, numbers)
    return step, attempt, seq


def columns(rollouts: Sequence[RolloutRow]) -> dict[str, list[Any]]:
    """Rollouts as a table, a row each."""
    seen = [row.observation for row in rollouts]
    sources = [row.data_source for row in rollouts]
    return {
        "step": [each.step for each in seen],
        "reward": [each.reward for each in seen],
        "response": [texts.last_line(_last_words(row), _SNIPPET) for row in rollouts],
        "tokens": [each.response_length for each in seen],
        "finish": [FINISHES.get(each.finish or "", NOTHING) for each in seen],
        **({"turns": [each.turns for each in seen]} if any((each.turns or 1) > 1 for each in seen) else {}),
        "seconds": [each.seconds for each in seen],
        **({"source": sources} if len(set(sources)) > 1 else {}),
    }


def layout() -> dict[str, Any]:
    """How the columns of such a table look."""
    config = st.column_config
    return {
        "step": config.NumberColumn("Step", format="localized", width=50),
        "reward": config.NumberColumn("Reward", format="%.2f", width=60, help="In [0, 1]."),
        "response": config.TextColumn("Response", width=190, help="How it ends."),
        "tokens": config.NumberColumn("Tokens", format="localized", width=60, help="That the model generated."),
        "finish": config.TextColumn("End", width=60, help="Cut off: it filled data.max_response_length."),
        "turns": config.NumberColumn("Turns", width=50, help="Messages that the model wrote in the session."),
        "seconds": config.NumberColumn(
            "Seconds", format="%.1f", width=60, help="That the session generated and waited for tools."
        ),
        "source": config.TextColumn("Source", width=90),
    }


def show(rollout: RolloutRow, links: bool = True) -> None:
    """A rollout, with its figures; `links` leads to its prompt's page."""
    seen = rollout.observation
    figures(seen)
    if links:
        st.page_link(
            pages.PROMPT, label="All about this prompt", icon=":material/query_stats:",
            query_params=asked.link(seen.prompt_id),
        )  # fmt: skip
    session(rollout)


def figures(seen: ObservationRow) -> None:
    """What came of a rollout, in a row of figures."""
    with st.container(horizontal=True, gap="medium"):
        st.metric("Step", f"{seen.step:,}", width="content")
        st.metric("Reward", f"{seen.reward:g}", width="content", help="Of the whole session, in [0, 1].")
        st.metric("Tokens", f"{seen.response_length:,}", width="content", help="That the model generated.")
        st.metric(
            "Advantage", number(seen.advantage, 2), width="content", help="Reward minus the baseline (v̂), normalized."
        )
        st.metric("Policy version", f"{seen.policy_version:,}", width="content", help="Weights that generated it.")
    end = _ENDS.get(seen.finish or "", "its end is not known")
    took = "" if seen.seconds is None else f" · {duration(seen.seconds)} of generation and tools"
    turns = "" if seen.turns is None else f" · {counted(seen.turns, 'turn')}"
    st.caption(f"{end[0].upper()}{end[1:]}{turns}{took}{' · superseded by a resume' if seen.superseded else ''}")


def _last_words(rollout: RolloutRow) -> str:
    """What the model wrote last."""
    written = [part.text for part in rollout.parts if part.author == "model"]
    return written[-1] if written else rollout.response or ""


def session(rollout: RolloutRow) -> None:
    """What was said, from the prompt on: a response, or a message after the other, with who wrote it."""
    with st.expander("The prompt as the model read it"):
        texts.show(rollout.prompt or "")
    if not rollout.parts:
        texts.show(rollout.response or "")
        return
    tools = [", ".join(each) for each in tool_calls.names(rollout.parts)]
    st.vega_lite_chart(charts.session(rollout.parts, tools), key=f"session-{named(rollout.observation.key)}")
    for part, names in zip(rollout.parts, tools, strict=True):
        _part(part, names)


def _part(part: Part, tools: str) -> None:
    """A message with its author; `tools` are those that it calls, or whose answers it has."""
    model = part.author == "model"
    with st.container(gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(
                "Model" if model else "Environment",
                color="blue" if model else "orange",
                icon=":material/smart_toy:" if model else ":material/build:",
            )
            trained = "trained on" if model else "not trained on: a tool's or a user's words"
            st.caption(f"{counted(part.tokens, 'token')} · {trained}")
            if tools:
                st.text(f"{'calls' if model else 'from'} {tools}")
        texts.show(part.text)
