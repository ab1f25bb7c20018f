"""`kl` retention's one extra log-prob pass per step: the current policy on the previous responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.debug import marked_timer
from verl.utils.seqlen_balancing import calculate_workload, get_seqlen_balanced_partitions
from verl.utils.tensordict_utils import list_of_dict_to_tensordict
from verl.workers.utils.padding import response_from_nested

from verl_spo.core.previous_responses import Response
from verl_spo.core.spo import SPO
from verl_spo.training.trajectories import real_rows, uid_of
from verl_spo.training.verl_options import engine

PARTITION = "spo_previous"


class Rescoring(PPOTrainer):  # type: ignore[misc]
    """A trainer that re-scores with the weights of the old log-probs: those from before the step.

    Stands after verl's trainer in the inheritance of SPO's: `spo_separate_async` puts these weights back for each part
    of a step, around what stands here (verl/trainer/ppo/v1/trainer_separate_async.py:200).

    Attributes:
        policy_change: Of the latest batch, by uid; None where the retention does not need it.
    """

    spo: SPO
    policy_change: Mapping[str, float] | None

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)
        self.policy_change = self._rescore(batch) if self.spo.retention.needs_policy_change else None
        return batch

    def _rescore(self, batch: KVBatchMeta) -> Mapping[str, float]:
        scorer = Scorer(
            actor=self.actor_rollout_wg,
            ranks=max(self.actor_rollout_wg._dispatch_info["actor"]) + 1,
            multiple=row_multiple(self.config.actor_rollout_ref),
            temperature=self.config.actor_rollout_ref.rollout.temperature,
            eos=self.tokenizer.eos_token_id,
        )
        with marked_timer("spo_rescore", self.timing_raw):
            return policy_change(batch, self.spo, scorer)


@dataclass(frozen=True)
class Scorer:
    """How to have the current policy score responses.

    Attributes:
        actor: verl's actor worker group.
        ranks: Its data-parallel size.
        multiple: What each rank's rows must divide by (`row_multiple`).
        temperature: Of the rollouts.
        eos: Token of the padding rows.
    """

    actor: Any
    ranks: int
    multiple: int
    temperature: float
    eos: int


def row_multiple(actor_rollout_ref: DictConfig) -> int:
    """What the rows of a log-prob pass must divide by on each data-parallel rank.

    Micro-batches of a fixed size must come out even (verl/workers/engine/utils.py:125), and so must the groups in which
    those of any size take turns in a virtual pipeline (verl/workers/engine/megatron/transformer_impl.py:914).
    """
    actor, rollout = actor_rollout_ref.actor, actor_rollout_ref.rollout
    size = 1 if actor.use_dynamic_bsz else rollout.log_prob_micro_batch_size_per_gpu
    return int(size * (_group_size(actor.megatron) if engine(actor) == "megatron" else 1))


def _group_size(megatron: DictConfig) -> int:
    """Micro-batches that take turns; by megatron-core's default as many as there are stages (ModelParallelConfig)."""
    if (megatron.virtual_pipeline_model_parallel_size or 1) == 1:
        return 1
    chosen = megatron.override_transformer_config.get("microbatch_group_size_per_vp_stage")
    return int(chosen or megatron.pipeline_model_parallel_size)


def policy_change(batch: KVBatchMeta, spo: SPO, scorer: Scorer) -> dict[str, float]:
    """D of each request that has a previous response to its prompt, by uid; this batch's responses take their place.

    D compares the policy that trained on the previous response with the one that is about to train on this one, both
    before their update: as many updates apart as the responses are.
    """
    current = read_responses(batch)
    slots = dict(zip(current, spo.slots_of(current).tolist(), strict=True))
    previous = {uid: response for uid, slot in slots.items() if (response := spo.previous.get(slot)) is not None}
    scored = score(list(previous.values()), scorer) if previous else []
    for uid, slot in slots.items():
        spo.previous.put(slot, current[uid])
    return {uid: old.change(now) for (uid, old), now in zip(previous.items(), scored, strict=True)}


def read_responses(batch: KVBatchMeta) -> dict[str, Response]:
    """The batch's own trajectories by uid, with the log-probs of the policy that is about to train on them.

    Of a session with several outputs the last one stands for all. One without a generated token is left out: it leaves
    the previous response in its place.
    """
    rows = real_rows(batch)
    fields = ["prompts", "responses", "response_mask", "old_log_probs"]
    data = tq.kv_batch_get(
        keys=[batch.keys[row] for row in rows], partition_id=batch.partition_id, select_fields=fields
    )
    columns = [[row.numpy() for row in data[field].unbind()] for field in fields]
    responses = [
        Response(prompt.astype(np.int32), response.astype(np.int32), mask.astype(bool), log_probs.astype(np.float32))
        for prompt, response, mask, log_probs in zip(*columns, strict=True)
    ]
    return {
        uid_of(batch.keys[row]): response for row, response in zip(rows, responses, strict=True) if response.mask.any()
    }


def score(responses: Sequence[Response], scorer: Scorer) -> list[np.ndarray]:
    """Log-probs of the current policy for each of at least one response, (r,) float32 each."""
    keys = [f"previous{number}_0_0" for number in range(len(responses))]
    tags = [{"seq_len": each.tokens, "prompt_len": len(each.prompt)} for each in responses]
    rows = list_of_dict_to_tensordict([_row(each) for each in responses])
    tq.kv_batch_put(keys=keys, partition_id=PARTITION, fields=rows, tags=tags)
    batch = KVBatchMeta(partition_id=PARTITION, keys=keys, tags=tags)
    batch = upsample_batch_to_divisible_size(batch, scorer.ranks * scorer.multiple, scorer.eos)
    batch.reorder(balanced([tag["seq_len"] for tag in batch.tags], scorer.ranks))
    batch.extra_info.update(calculate_entropy=False, compute_loss=False, temperature=scorer.temperature)
    scorer.actor.compute_log_prob(batch)
    scored = tq.kv_batch_get(keys=keys, partition_id=PARTITION, select_fields=["log_probs", "response_mask"])
    log_probs = response_from_nested(scored["log_probs"], scored["response_mask"])
    tq.kv_clear(keys=batch.keys, partition_id=PARTITION)
    return [row.numpy() for row in log_probs.unbind()]


def balanced(lengths: Sequence[int], ranks: int) -> list[int]:
    """The order of the rows whose equal parts, one a rank, are equal work (verl's: trainer_base.py:1608)."""
    work = calculate_workload(torch.tensor(lengths, dtype=torch.int64)).tolist()
    parts = get_seqlen_balanced_partitions(work, k_partitions=ranks, equal_size=True)
    return [row for part in parts for row in part]


def _row(response: Response) -> dict[str, Any]:
    """What verl's engines read of a trajectory (verl/trainer/ppo/v1/agent_loop_tq.py:190)."""
    prompts, responses = (torch.from_numpy(ids).long() for ids in (response.prompt, response.response))
    mask = torch.from_numpy(response.mask).long()
    input_ids = torch.cat([prompts, responses])
    return {
        "prompts": prompts,
        "responses": responses,
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "position_ids": torch.arange(len(input_ids)),
        "response_mask": mask,
        "loss_mask": mask,
        "multi_modal_inputs": {},
    }
