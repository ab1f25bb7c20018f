"""One problem of a benchmark: its answers by class, its samples, what each scorer says of them. All as plain text."""

from typing import Any

import streamlit as st

from verl_spo.evaluation.doubts import IN_WORDS, doubts
from verl_spo.evaluation.evaluated import Evaluated
from verl_spo.store import Reader, queries
from verl_spo.store.queries import SampleRow
from verl_spo_dashboard import address, choosing, parts, texts
from verl_spo_dashboard.wording import NOTHING

_SHOWN_ANSWERS = 200


def show(database: Reader, after: Evaluated, before: Evaluated | None, place: int) -> None:
    """Show a problem with the answers of one policy, or of the one that it is held against."""
    with parts.errors_shown():
        problem = after.problems[place]
        texts.show(problem.question)
        st.text(f"Problem {place + 1} · right answer: {texts.line(problem.ground_truth, _SHOWN_ANSWERS)}")
        of = after
        if before is not None:
            whose = st.segmented_control(
                "Answers", ["Now", "Before"], default="Now", required=True, key="answers", bind="query-params",
                help="Of the step that was chosen, or of the policy that it is held against.",
            )  # fmt: skip
            of = before if whose == "Before" else after
        left, right = st.columns([2, 3], gap="large")
        with left:
            _classes(of, place)
        with right:
            _samples(queries.evaluation_samples(database, of.row.id, place), problem.ground_truth)


def _classes(of: Evaluated, place: int) -> None:
    """How many samples gave each answer, the most frequent first."""
    classes = of.results.problems[place].classes()[:_SHOWN_ANSWERS]
    table = {
        "Answer": [texts.line(answer, _SHOWN_ANSWERS) or "no answer" for answer, _, _ in classes],
        "Samples": [samples for _, samples, _ in classes],
        "Score": [score for _, _, score in classes],
    }
    layout = {
        "Samples": st.column_config.NumberColumn(help="That gave this answer, or one equal to it."),
        "Score": st.column_config.NumberColumn(help="The mean of these samples'."),
    }
    st.dataframe(table, column_config=layout, hide_index=True, key="classes", alt="Answers by class")


def _samples(samples: list[SampleRow], truth: str) -> None:
    """The samples of the problem; a click on one shows its text."""
    names = list(dict.fromkeys(name for each in samples for name in sorted(each.verdicts)))
    table: dict[str, list[Any]] = {
        "Sample": [each.sample + 1 for each in samples],
        "Ended by": [each.finish for each in samples],
        "Tokens": [each.length for each in samples],
    }
    for name in names:
        table[name] = [each.verdicts[name].score if name in each.verdicts else None for each in samples]
    table["Answer"] = [_answer(each) for each in samples]
    table["To doubt"] = [_doubts(each, truth, "reference" in names) for each in samples]
    layout = {"To doubt": st.column_config.TextColumn(help="Why to look before believing the verdict.")}
    choosing.table(table, "sample", [str(each.sample) for each in samples], column_config=layout, alt="Samples")
    chosen = address.number("sample")
    sample = next((each for each in samples if each.sample == chosen), samples[0] if samples else None)
    if sample is None:
        return
    st.text(f"Sample {sample.sample + 1} · {sample.length:,} tokens · policy version {sample.policy_version}")
    if sample.response is None:
        st.text("Its text was not kept, or made room for others (spo.store.rollout_budget_mb).")
    else:
        texts.show(sample.response)


def _answer(sample: SampleRow) -> str:
    found = (verdict.found for verdict in sample.verdicts.values() if verdict.found)
    return texts.line(next(found, NOTHING), _SHOWN_ANSWERS)


def _doubts(sample: SampleRow, truth: str, by_reference: bool) -> str:
    """Only a scorer like `reference` minds how often the thoughts end."""
    if sample.response is None:
        return ""
    scores = {name: verdict.score for name, verdict in sample.verdicts.items()}
    found = doubts(sample.response, truth, sample.finish, scores)
    return ", ".join(text for name, text in IN_WORDS.items() if name in found and (by_reference or name != "thoughts"))
