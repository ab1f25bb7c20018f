"""All prompts that a filter leaves, with everything of them: for an export."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.prompt_plan import Plan, PromptFilter, Sort
from verl_spo.store.queries.prompts import STATE_COLUMNS, PromptRow, clock_of, prompt_row, texts_of

_CHUNK = 2000


@dataclass(frozen=True)
class SelectedPrompt:
    """A prompt with its chat messages, JSON values."""

    row: PromptRow
    messages: Sequence[Mapping[str, Any]]


def selected_prompts(
    reader: Reader,
    run_id: int,
    where: PromptFilter,
    sort: Sort = "value",
    descending: bool = False,
    most: int = 100_000,
) -> Iterator[SelectedPrompt]:
    """At most so many prompts in an order, as they stand at one moment, their texts some at a time."""
    with reader.connect(snapshot=True) as connection:
        clock = clock_of(connection, run_id)
        plan = Plan(connection, run_id, where, clock)
        keys = connection.execute(plan.page(STATE_COLUMNS, sort, descending, None, most)).all()
        for start in range(0, len(keys), _CHUNK):
            yield from _with_texts(connection, keys[start : start + _CHUNK], clock)


def _with_texts(connection: Connection, keys: Sequence[Any], clock: float) -> Iterator[SelectedPrompt]:
    texts = texts_of(connection, [key.prompt_id for key in keys])
    for key in keys:
        text = texts[key.prompt_id]
        yield SelectedPrompt(prompt_row(key, text, clock), text.messages)
