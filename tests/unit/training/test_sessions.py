"""How sessions went, out of verl's queue: from small fields, unless a text is kept or fills its room."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from verl_spo.store.records import Finish
from verl_spo.store.text import Part
from verl_spo.training import sessions
from verl_spo.training.sessions import Session, SessionReader

EOS = 9
LONGEST = 5
ROWS: dict[str, dict[str, Any]] = {
    # A session of two outputs, of which the later one carries the exchange: two turns and a tool's answer.
    "u_0_0": {"responses": [1], "response_mask": [1], "metrics": {}, "num_turns": 2},
    "u_0_1": {
        "responses": [1, 5, 6, 2],
        "response_mask": [1, 0, 0, 1],
        "metrics": {"generate_sequences": 1.5, "tool_calls": 0.25, "compute_score": 8.0, "num_preempted": -1},
        "num_turns": 4,
    },
    "v_0_0": {
        "responses": [1, 2, 3, 4, 5],
        "response_mask": [1] * 5,
        "metrics": {"generate_sequences": 3.0},
        "num_turns": 2,
    },
    "w_0_0": {"responses": [1, 2, 3, 4, EOS], "response_mask": [1] * 5, "metrics": {}, "num_turns": 2},
    "pad_0_0": {"responses": [0], "response_mask": [0], "metrics": {}, "num_turns": 2},
}
READ: list[tuple[tuple[str, ...], tuple[str, ...]]] = []


class Tokenizer:
    """Numbers are words."""

    eos_token_id = EOS

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return " ".join(str(token) for token in tokens if not (skip_special_tokens and token == EOS))


def _as_verl_has_it(value: Any) -> Any:
    return torch.tensor(value) if isinstance(value, list) else value


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> KVBatchMeta:
    """The rows above, in a queue that is only there to be read, and notes what is."""

    def get(keys: list[str], partition_id: str, select_fields: list[str]) -> TensorDict:
        assert partition_id == "train"
        READ.append((tuple(keys), tuple(select_fields)))
        rows = [{"prompts": [7, 8], **ROWS[key]} for key in keys]
        return list_of_dict_to_tensordict(
            [{name: _as_verl_has_it(row[name]) for name in select_fields if name in row} for row in rows]
        )

    READ.clear()
    monkeypatch.setattr(sessions.tq, "kv_batch_get", get)
    tags = [{"response_len": len(row["responses"]), "is_padding": key.startswith("pad")} for key, row in ROWS.items()]
    return KVBatchMeta(partition_id="train", keys=list(ROWS), tags=tags)


@pytest.fixture
def reader() -> SessionReader:
    return SessionReader(OmegaConf.create({"data": {"max_response_length": LONGEST}}), Tokenizer())


def test_a_session_with_a_tool_has_parts(batch: KVBatchMeta, reader: SessionReader) -> None:
    parts = (Part("model", 1, "1"), Part("environment", 2, "5 6"), Part("model", 1, "2"))
    assert reader.read(batch, {"u"})["u"] == Session(Finish.STOP, 1.75, 2, "7 8", "1 5 6 2", parts)


def test_a_response_that_the_model_wrote_alone_has_no_parts(batch: KVBatchMeta, reader: SessionReader) -> None:
    found = reader.read(batch, {"w"})["w"]
    assert (found.response, found.parts, found.turns) == ("1 2 3 4", (), 1)


def test_what_fills_its_room_was_cut_off_unless_the_model_ended_it(batch: KVBatchMeta, reader: SessionReader) -> None:
    ends = {uid: session.finish for uid, session in reader.read(batch, ()).items()}
    assert ends == {"u": Finish.STOP, "v": Finish.LENGTH, "w": Finish.STOP}


def test_time_that_verl_did_not_take_is_not_known(batch: KVBatchMeta, reader: SessionReader) -> None:
    np.testing.assert_array_equal([session.seconds for session in reader.read(batch, ()).values()], [1.75, 3.0, np.nan])


def test_turns_that_an_agent_loop_does_not_count_are_not_known(
    batch: KVBatchMeta, reader: SessionReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in ROWS.values():
        monkeypatch.delitem(row, "num_turns")
    assert {session.turns for session in reader.read(batch, ()).values()} == {-1}


def test_only_what_is_needed_is_read(batch: KVBatchMeta, reader: SessionReader) -> None:
    reader.read(batch, {"u"})
    assert READ == [
        (("v_0_0", "w_0_0"), ("responses",)),
        (("u_0_1",), ("prompts", "responses", "response_mask")),
        (("u_0_1", "v_0_0", "w_0_0"), ("metrics", "num_turns")),
    ]


def test_a_batch_without_sessions_is_not_read(batch: KVBatchMeta, reader: SessionReader) -> None:
    assert reader.read(KVBatchMeta(partition_id="train", keys=[], tags=[]), ()) == {}
    assert READ == []
