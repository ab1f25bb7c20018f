"""Sessions of several turns: verl's tool agent loop with a tool, on real verl and real vLLM."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import calculator
from verl_spo.demo.tokenizer import build_tokenizer
from verl_spo.store import open_reader, queries
from verl_spo.store.records import Finish

pytestmark = pytest.mark.verl

STEPS, BATCH, TURNS, RESPONSE_TOKENS = 3, 16, 3, 64
MOST_WITH_MARKERS = 3
TOOLS = (
    "actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent",
    "actor_rollout_ref.rollout.multi_turn.enable=True",
    f"actor_rollout_ref.rollout.multi_turn.function_tool_path={calculator.__file__}",
    f"actor_rollout_ref.rollout.multi_turn.format={calculator.FORMAT}",
    f"actor_rollout_ref.rollout.multi_turn.max_assistant_turns={TURNS}",
    f"data.max_response_length={RESPONSE_TOKENS}",
    "actor_rollout_ref.rollout.max_model_len=128",
    f"trainer.total_training_steps={STEPS}",
    "trainer.save_freq=-1",
)
# What the chat template puts around a tool's answer, without its markers.
BETWEEN_TURNS = re.compile(r"\ntool\n(\d+)\nassistant\n")


def written(response: str) -> list[str]:
    """What the model wrote of a session, by turn."""
    turns = BETWEEN_TURNS.split(response)
    assert turns[1::2] == [str(int(turn)) for turn in turns[:-1:2]], response
    return turns[::2]


@pytest.mark.parametrize("mode", ["sync", pytest.param("separate_async", marks=pytest.mark.long)])
def test_a_session_counts_once_and_by_what_the_model_wrote(mode: str, run_dir: Path, train: Callable[..., int]) -> None:
    recipe = "cpu/arithmetic_spo" if mode == "sync" else f"cpu/arithmetic_spo_{mode}"
    train("turns", *TOOLS, recipe=recipe)
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, "arithmetic/turns").run.id
        visits = queries.tracker(reader, run_id).visits
        rows = queries.rollouts(reader, run_id, limit=STEPS * BATCH).rows
    assert len(rows) == len({row.observation.uid for row in rows}) == visits.sum() == STEPS * BATCH
    tokenizer = build_tokenizer()
    sessions = [(row.observation.response_length, written(row.response or "")) for row in rows]
    assert max(len(turns) for _, turns in sessions) == TURNS
    # One more token ends a turn, unless the limit did. The model may write "assistant", which is one token.
    hidden = [
        length - sum(len(tokenizer.encode(turn, add_special_tokens=False)) + 1 for turn in turns)
        for length, turns in sessions
    ]
    assert min(hidden) >= -1
    # Now and then it writes a marker, a token that no text shows.
    assert sum(tokens > 0 for tokens in hidden) <= MOST_WITH_MARKERS, hidden
    for row, (_, turns) in zip(rows, sessions, strict=True):
        seen = row.observation
        assert seen.turns == len(turns)
        assert (seen.seconds or 0) > 0
        assert seen.finish in (Finish.STOP, Finish.LENGTH)
        if len(turns) > 1:
            authors = [part.author for part in row.parts]
            assert authors[::2] == ["model"] * len(turns)
            assert authors[1::2] == ["environment"] * (len(authors) // 2)
            assert sum(part.tokens for part in row.parts if part.author == "model") == seen.response_length
        else:
            assert row.parts == ()
