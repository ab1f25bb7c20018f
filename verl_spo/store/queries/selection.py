"""All prompts that a filter leaves, with everything of them: for an export."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.pool import Sort, pool_of
from verl_spo.store.queries.prompt_filters import PromptFilter, passing
from verl_spo.store.queries.prompts import PromptRow, prompt_row, texts_of

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
        pool = pool_of(reader, connection, run_id)
        left = passing(reader, connection, run_id, pool, where)
        places = pool.ordered(sort, descending, left, 0, most)
        for start in range(0, len(places), _CHUNK):
            states = pool.states(places[start : start + _CHUNK])
            texts = texts_of(connection, [state.prompt_id for state in states])
            for state in states:
                text = texts[state.prompt_id]
                yield SelectedPrompt(prompt_row(state, text, pool.clock), text.messages)
