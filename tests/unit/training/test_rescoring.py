"""The extra log-prob pass of `kl`, against verl's own padding, balancing and micro-batching, in a queue in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transfer_queue as tq
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils import tensordict_utils as tu
from verl.workers.engine.utils import postprocess_batch_func, prepare_micro_batches

from verl_spo import SPO, SPOConfig
from verl_spo.core.previous_responses import Response
from verl_spo.training.rescoring import Scorer, balanced, policy_change, row_multiple, score
from verl_spo.training.trainers import SPOTrainerSync

pytestmark = pytest.mark.slow

EOS = 1


class Queue:
    """TransferQueue's key-value calls on a dict."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        for name, call in (("kv_batch_put", self.put), ("kv_batch_get", self.get), ("kv_clear", self.clear)):
            monkeypatch.setattr(tq, name, call)

    def put(self, keys: list[str], partition_id: str, fields: TensorDict, tags: Any = None) -> None:
        for name in fields.keys():  # noqa: SIM118
            column = fields.get(name)
            values = column.tolist() if isinstance(column, NonTensorStack) else column.unbind()
            for key, value in zip(keys, values, strict=True):
                self.rows.setdefault(f"{partition_id}/{key}", {})[name] = value

    def get(self, keys: list[str], partition_id: str, select_fields: list[str] | None = None) -> TensorDict:
        rows = [self.rows[f"{partition_id}/{key}"] for key in keys]
        columns = {name: [row[name] for row in rows] for name in select_fields or rows[0]}
        return TensorDict({name: stacked(values) for name, values in columns.items()}, batch_size=[len(rows)])

    def clear(self, keys: list[str], partition_id: str) -> None:
        for key in keys:
            del self.rows[f"{partition_id}/{key}"]


def stacked(values: list[Any]) -> Any:
    """As TransferQueue gives a column back (storage/managers/base.py:660)."""
    if not isinstance(values[0], torch.Tensor):
        return NonTensorStack(*values)
    return torch.nested.as_nested_tensor(values, layout=torch.jagged) if values[0].dim() else torch.stack(values)


class Actor:
    """The actor's ranks, which cut their rows as verl's engines do; a token's log-prob is -0.001 x the one after it."""

    def __init__(self, queue: Queue, ranks: int, micro_batch: int | None, group: int | None) -> None:
        self._queue, self._ranks, self._micro_batch, self._group = queue, ranks, micro_batch, group
        self.tokens: list[int] = []

    def compute_log_prob(self, batch: KVBatchMeta) -> None:
        self.tokens = []
        for part in batch.chunk(self._ranks):
            data = self._queue.get(part.keys, part.partition_id)
            self.tokens.append(len(data["input_ids"].values()))
            log_probs = self._infer(data)
            self._queue.put(part.keys, part.partition_id, TensorDict({"log_probs": log_probs}, batch_size=[len(part)]))

    def _infer(self, data: TensorDict) -> torch.Tensor:
        static = {"use_dynamic_bsz": self._micro_batch is None, "micro_batch_size_per_gpu": self._micro_batch}
        tu.assign_non_tensor(data, max_token_len_per_gpu=256, **static)
        micro_batches, indices = prepare_micro_batches(data, num_batches_divided_by=self._group)
        # verl/workers/engine/megatron/transformer_impl.py:914
        assert len(micro_batches) % (self._group or 1) == 0
        outputs = [{"model_output": {"log_probs": scores(part["input_ids"])}} for part in micro_batches]
        return postprocess_batch_func(outputs, indices, data)["model_output"]["log_probs"]


def scores(input_ids: torch.Tensor) -> torch.Tensor:
    shifted = [-0.001 * row.roll(-1).float() for row in input_ids.unbind()]
    return torch.nested.as_nested_tensor(shifted, layout=torch.jagged)


def response(tokens: list[int], log_prob: float = 0.0) -> Response:
    given = np.array(tokens, dtype=np.int32)
    return Response(
        prompt=np.array([7, 8], dtype=np.int32),
        response=given,
        mask=np.ones(given.shape, dtype=bool),
        log_probs=np.full(given.shape, log_prob, dtype=np.float32),
    )


def actor_config(
    micro_batch: int | None = None, stages: int = 1, virtual: int | None = None, **more: Any
) -> DictConfig:
    actor = {
        "use_dynamic_bsz": micro_batch is None,
        "strategy": "fsdp2" if stages == 1 else "megatron",
        "megatron": {
            "pipeline_model_parallel_size": stages,
            "virtual_pipeline_model_parallel_size": virtual,
            "override_transformer_config": more,
        },
    }
    return OmegaConf.create({"actor": actor, "rollout": {"log_prob_micro_batch_size_per_gpu": micro_batch}})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (actor_config(), 1),
        (actor_config(micro_batch=4), 4),
        (actor_config(micro_batch=4, stages=2), 4),
        (actor_config(micro_batch=4, stages=2, virtual=1), 4),
        (actor_config(micro_batch=4, stages=2, virtual=2), 8),
        (actor_config(stages=4, virtual=2), 4),
        (actor_config(stages=4, virtual=2, microbatch_group_size_per_vp_stage=6), 6),
    ],
)
def test_rows_come_in_whole_micro_batches_and_whole_groups_of_them(config: DictConfig, expected: int) -> None:
    assert row_multiple(config) == expected


@settings(max_examples=30)
@given(
    responses=st.lists(st.lists(st.integers(0, 999), min_size=1, max_size=20), min_size=1, max_size=25),
    ranks=st.integers(1, 4),
    micro_batch=st.one_of(st.none(), st.integers(1, 5)),
    stages=st.integers(1, 3),
)
def test_any_number_of_responses_is_scored_each_by_itself(
    responses: list[list[int]], ranks: int, micro_batch: int | None, stages: int
) -> None:
    multiple = row_multiple(actor_config(micro_batch, stages, virtual=2))
    with pytest.MonkeyPatch.context() as patch:
        queue = Queue(patch)
        actor = Actor(queue, ranks, micro_batch, stages if stages > 1 else None)
        scored = score(list(map(response, responses)), Scorer(actor, ranks, multiple, temperature=1.0, eos=EOS))
    for tokens, log_probs in zip(responses, scored, strict=True):
        np.testing.assert_allclose(log_probs, -0.001 * np.array(tokens), rtol=1e-6)
    assert queue.rows == {}


def test_ranks_get_like_amounts_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, ranks = Queue(monkeypatch), 8
    actor = Actor(queue, ranks, micro_batch=2, group=None)
    lengths = np.random.default_rng(0).integers(1, 200, 256)
    score([response([5] * length) for length in lengths], Scorer(actor, ranks, 2, temperature=1.0, eos=EOS))
    assert max(actor.tokens) < 1.01 * np.mean(actor.tokens)


def test_balanced_rows_are_the_rows() -> None:
    assert sorted(balanced([3, 1, 4, 1, 5, 9], ranks=3)) == list(range(6))


def test_a_step_compares_with_the_previous_responses_and_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(monkeypatch)
    spo = SPO(SPOConfig(), pool_size=4, batch_size=3)
    uids = spo.dispatch(slots=[0, 1, 2]).uids
    spo.previous.put(1, response([10, 20], log_prob=-0.035))
    spo.previous.put(2, response([10], log_prob=-0.010))
    rows = {f"{uid}_0_0": response([100 + place], log_prob=-0.5) for place, uid in enumerate(uids)}
    queue.put(list(rows), "train", batch_of(list(rows.values())))
    batch = KVBatchMeta(partition_id="train", keys=list(rows), tags=[{"is_padding": False}] * 3)
    scorer = Scorer(Actor(queue, 2, 2, None), 2, 2, temperature=1.0, eos=EOS)
    change = policy_change(batch, spo, scorer)
    assert change == pytest.approx({uids[1]: 0.020, uids[2]: 0.0}, abs=1e-6)
    kept = [spo.previous.get(slot) for slot in range(3)]
    assert [each.response.tolist() for each in kept if each is not None] == [[100], [101], [102]]


def batch_of(responses: list[Response]) -> TensorDict:
    """A batch after verl's log-prob pass."""
    columns = {
        "prompts": [each.prompt for each in responses],
        "responses": [each.response for each in responses],
        "response_mask": [each.mask for each in responses],
        "old_log_probs": [each.log_probs for each in responses],
    }
    return TensorDict(
        {name: stacked([torch.from_numpy(value) for value in values]) for name, values in columns.items()},
        batch_size=[len(responses)],
    )


def test_an_answer_without_a_generated_token_leaves_the_previous_response_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue, previous = Queue(monkeypatch), response([10, 20], log_prob=-0.035)
    spo = SPO(SPOConfig(), pool_size=4, batch_size=3)
    (uid,) = spo.dispatch(slots=[1]).uids
    spo.previous.put(1, previous)
    tool = replace(response([30]), mask=np.zeros(1, dtype=bool))
    queue.put([f"{uid}_0_0"], "train", batch_of([tool]))
    batch = KVBatchMeta(partition_id="train", keys=[f"{uid}_0_0"], tags=[{"is_padding": False}])
    scorer = Scorer(Actor(queue, 1, None, None), 1, 1, temperature=1.0, eos=EOS)
    assert policy_change(batch, spo, scorer) == {}
    assert spo.previous.get(1) is previous


def test_the_trainer_reads_ranks_and_multiples_off_verl(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Scorer] = []
    monkeypatch.setattr(PPOTrainer, "_compute_old_log_prob", lambda self, batch, metrics: batch)
    monkeypatch.setattr("verl_spo.training.rescoring.policy_change", lambda _, __, scorer: found.append(scorer) or {})
    config = actor_config(micro_batch=3)
    config.rollout.temperature = 0.7
    trainer = object.__new__(SPOTrainerSync)
    vars(trainer).update(
        spo=SPO(SPOConfig(), pool_size=4, batch_size=2),
        config=OmegaConf.create({"actor_rollout_ref": config}),
        tokenizer=type("Tokenizer", (), {"eos_token_id": EOS}),
        actor_rollout_wg=type("Workers", (), {"_dispatch_info": {"actor": [0, 0, 1, 1]}}),
        timing_raw={},
    )
    trainer._compute_old_log_prob(KVBatchMeta(partition_id="train", keys=[], tags=[]), {})
    (scorer,) = found
    assert (scorer.ranks, scorer.multiple, scorer.temperature, scorer.eos) == (2, 3, 0.7, EOS)
