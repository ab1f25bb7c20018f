"""verl's Megatron engine in processes of its own, trained on made-up responses."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verl_spo import cpu

SEQUENCES, LENGTH = 8, 24


def train(rank: int, folder: Path, ranks: int, batches: tuple[int, ...], load: bool, vanilla: bool = True) -> None:
    """Be one of `ranks` tensor-parallel ranks of the model in `folder`: train on some batches, save every other one.

    Args:
        rank: Which one.
        folder: Of the model (`model/`) and of checkpoints; what the weights are then goes to `weights-N.pt`.
        ranks: How many there are.
        batches: Seeds, one an update; a checkpoint named like it follows each that is even.
        load: Whether to begin from the checkpoint of the batch before the first.
        vanilla: Whether mbridge maps the weights, or Megatron-Bridge.
    """
    os.environ.update(VERL_PLATFORM="cpu", RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank))
    os.environ.update(LOCAL_WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=_port(folder))
    cpu.activate()
    worker = _worker(folder / "model", ranks, vanilla)
    if load:
        worker.load_checkpoint(str(folder / f"checkpoint-{batches[0] - 1}"))
    for seed in batches:
        worker.train_batch(_batch(seed))
        if seed % 2 == 0:
            _save(worker, folder, seed, rank)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _save(worker: Any, folder: Path, seed: int, rank: int) -> None:
    weights = {name: weight.clone() for name, weight in worker.engine.get_per_tensor_param()[0]}
    worker.save_checkpoint(str(folder / f"checkpoint-{seed}"), global_step=seed)
    if rank == 0:
        torch.save(weights, folder / f"weights-{seed}.pt")


def _port(folder: Path) -> str:
    return (folder / "port").read_text()


def _worker(model: Path, ranks: int, vanilla: bool) -> Any:
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import (
        ActorConfig,
        HFModelConfig,
        McoreEngineConfig,
        McoreOptimizerConfig,
        TrainingWorkerConfig,
    )
    from verl.workers.engine_workers import TrainingWorker
    from verl.workers.utils.losses import ppo_loss

    engine = McoreEngineConfig(
        forward_only=False,
        vanilla_mbridge=vanilla,
        tensor_model_parallel_size=ranks,
        use_dynamic_bsz=True,
        use_remove_padding=True,
        max_token_len_per_gpu=100,
        infer_max_token_len_per_gpu=200,
    )
    config = TrainingWorkerConfig(
        model_type="language_model",
        model_config=HFModelConfig(path=str(model), use_remove_padding=True),
        engine_config=engine,
        optimizer_config=McoreOptimizerConfig(
            lr=1e-2, lr_decay_steps=10, lr_warmup_steps=0, use_checkpoint_opt_param_scheduler=True
        ),
        checkpoint_config=CheckpointConfig(),
    )
    worker = TrainingWorker(config)
    worker.reset()
    actor = ActorConfig(strategy="megatron", rollout_n=1, use_dynamic_bsz=True, ppo_max_token_len_per_gpu=100)
    worker.set_loss_fn(partial(ppo_loss, config=actor))
    return worker


def _batch(seed: int) -> Any:
    from verl import DataProto
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import left_right_2_no_padding

    generator = torch.Generator().manual_seed(seed)
    prompt = LENGTH // 2
    tokens = torch.randint(0, 100, (SEQUENCES, LENGTH), generator=generator)
    mask = torch.ones_like(tokens)
    old = torch.full((SEQUENCES, LENGTH - prompt), -4.6)
    columns: dict[str, Tensor] = {
        "input_ids": tokens,
        "prompts": tokens[:, :prompt],
        "responses": tokens[:, prompt:],
        "attention_mask": mask,
        "position_ids": torch.arange(LENGTH).expand_as(tokens),
        "response_mask": mask[:, prompt:],
        "old_log_probs": old,
        "advantages": torch.randn(old.shape, generator=generator),
    }
    about = {"temperature": 1.0, "global_token_num": mask.sum(-1).tolist(), "compute_loss": False}
    batch = left_right_2_no_padding(DataProto.from_single_dict(columns, meta_info=about).to_tensordict())
    tu.assign_non_tensor(batch, global_batch_size=SEQUENCES, update_lr_scheduler=True)
    return batch
