"""Answers out of verl's queue: one per session, as the store wants them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import NonTensorStack
from transfer_queue import KVBatchMeta

from verl_spo.core.rewards import RewardScale
from verl_spo.errors import EvaluationError
from verl_spo.store.records import Finish
from verl_spo.training import samples
from verl_spo.training.agent_loop_names import SEEDED, VERLS
from verl_spo.training.samples import Answer, AnswerReader, Failures, samples_of
from verl_spo.training.seeding import FIELD, seed_of

EOS = 9
LONGEST = 4
ROWS: dict[str, dict[str, Any]] = {
    # A session of two outputs, of which the later one carries the exchange.
    "u_1_0": {"responses": [1], "response_mask": [1], "rm_scores": [0.0], "extra_fields": {}},
    "u_1_1": {
        "responses": [1, 2, EOS],
        "response_mask": [1, 0, 1],
        "rm_scores": [0.0, 0.0, -1.0],
        "extra_fields": {"reward_extra_info": {"acc": 1.0, "pred": "42"}},
    },
    "v_0_0": {"responses": [1, 2, 3, 4], "response_mask": [1] * 4, "rm_scores": [0.0] * 3 + [-1.0], "extra_fields": {}},
    "w_0_0": {
        "responses": [1, 2, 3, EOS],
        "response_mask": [1] * 4,
        "rm_scores": [0.0] * 3 + [1.0],
        "extra_fields": {},
    },
}


class Tokenizer:
    """Numbers are words."""

    eos_token_id = EOS

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        return " ".join(str(token) for token in tokens if not (skip_special_tokens and token == EOS))


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> KVBatchMeta:
    """The rows above, in a queue that is only there to be read."""

    def get(keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, Any]:
        assert partition_id == "val"
        rows = {key: {**ROWS[key], "prompts": [7, 8], FIELD: f"{key[0]}/0"} for key in keys}
        columns = {name: [row[name] for row in rows.values()] for name in select_fields}
        return {
            name: NonTensorStack(*values)
            if name in (FIELD, "extra_fields")
            else torch.nested.as_nested_tensor([torch.tensor(value) for value in values], layout=torch.jagged)
            for name, values in columns.items()
        }

    monkeypatch.setattr(samples.tq, "kv_batch_get", get)
    return KVBatchMeta(partition_id="val", keys=list(ROWS), tags=[{"min_global_steps": 3} for _ in ROWS])


def reader(loop: str = SEEDED) -> AnswerReader:
    rollout = {"rollout": {"agent": {"default_agent_loop": loop}}}
    config = OmegaConf.create({"data": {"max_response_length": LONGEST}, "actor_rollout_ref": rollout})
    return AnswerReader(config, Tokenizer(), RewardScale(low=-1.0, high=1.0))


def test_a_session_is_one_answer_by_its_last_output(batch: KVBatchMeta) -> None:
    first = reader().read(batch)[0]
    assert first == Answer("u/0", 1, 2, seed_of("u/0", 1), 3, 1.0, Finish.STOP, "42", "7 8", "1 2")
    assert len(reader().read(batch)) == 3


def test_a_reward_without_an_accuracy_is_mapped_to_its_range(batch: KVBatchMeta) -> None:
    assert [answer.reward for answer in reader().read(batch)] == [1.0, 0.0, 1.0]


def test_what_fills_its_room_was_cut_off_unless_the_model_ended_it(batch: KVBatchMeta) -> None:
    assert [answer.finish for answer in reader().read(batch)] == [Finish.STOP, Finish.LENGTH, Finish.STOP]


def test_verls_own_agent_loop_is_given_no_seed(batch: KVBatchMeta) -> None:
    assert {answer.seed for answer in reader(VERLS).read(batch)} == {-1}


def test_nothing_that_ended_is_nothing_read() -> None:
    assert reader().read(KVBatchMeta(partition_id="val", keys=[], tags=[])) == []


def test_sessions_that_failed_have_their_place(batch: KVBatchMeta) -> None:
    answers = reader().read(batch)
    made = samples_of({(0, 0): answers[0], (0, 1): None, (1, 0): answers[1]})
    assert made.place.tolist() == [0, 0, 1]
    assert made.sample.tolist() == [0, 1, 0]
    assert made.finish == [Finish.STOP, Finish.FAILED, Finish.LENGTH]
    np.testing.assert_array_equal(made.reward, [1.0, np.nan, 0.0])
    assert made.response_text == ["1 2", None, "1 2 3 4"]


SOME = Answer("u/0", 0, 1, -1, 0, 1.0, Finish.STOP, "", "", "")


def test_some_sessions_may_fail() -> None:
    failures = Failures()
    for _ in range(10):
        failures.check([SOME, SOME, None])
    failures.check([None] * 10)


def test_where_most_fail_nothing_more_is_asked() -> None:
    failures = Failures()
    failures.check([SOME] * 4)
    failures.check([None] * 15)
    with pytest.raises(EvaluationError, match="16 of 20 sessions have failed"):
        failures.check([None])


def test_a_few_failures_at_the_start_say_nothing() -> None:
    Failures().check([None] * 15)
