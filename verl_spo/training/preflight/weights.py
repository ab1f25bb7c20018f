"""Room for the weights on their way to the rollout engine.

verl packs them into buckets. A weight that is larger than one goes alone where device memory can be shared; where it
cannot, as on a CPU, and to TensorRT-LLM, it ends the run minutes after its start
(verl/workers/rollout/vllm_rollout/bucketed_weight_transfer.py:140, trtllm_rollout/trtllm_rollout.py:518).
"""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training.verl_options import weight_bytes

BUCKET = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
MB = 2**20


def check(config: DictConfig, folder: Path) -> None:
    """Hold the weights of the model in `folder` against the bucket, and on a CPU against the shared memory.

    Raises:
        ConfigError: The largest weight is larger than the bucket, or a bucket needs more memory than is free.
    """
    rollout, on_cpu = config.actor_rollout_ref.rollout, config.trainer.device == "cpu"
    if not on_cpu and rollout.name != "trtllm":
        return
    model, itemsize = json.loads((folder / "config.json").read_text()), weight_bytes(config.actor_rollout_ref.actor)
    bucket, (rows, columns) = rollout.checkpoint_engine.update_weights_bucket_megabytes, largest_weight(model)
    needed = math.ceil(rows * columns * itemsize / MB)
    if needed > bucket:
        raise ConfigError(
            f"{BUCKET}={bucket}: the model's largest weight, {rows} x {columns} numbers of {itemsize} bytes, takes "
            f"{needed} MB and must fit; set at least {needed}"
        )
    if on_cpu:
        _check_shared_memory(bucket, needed, math.ceil(_stored(folder) * itemsize / _stored_itemsize(model) / MB))


def largest_weight(model: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of a model's largest matrix, by its config.json; (0, 0) where that does not say.

    It is the embedding or a feed-forward layer's: verl sends experts one by one and fuses nothing
    (verl/workers/engine/fsdp/utils.py:90).
    """
    text = model.get("text_config") or model
    vocabulary, width, columns = (text.get(name) or 0 for name in ("vocab_size", "intermediate_size", "hidden_size"))
    return (max(vocabulary, width), columns) if columns else (0, 0)


def _check_shared_memory(bucket: int, largest: int, weights: int) -> None:
    """A bucket takes as much memory as is written to it; where there is too little, the writer is killed."""
    taken, free = max(largest, min(bucket, weights)), shutil.disk_usage(SHARED_MEMORY).free // MB
    if taken > free:
        raise ConfigError(
            f"{BUCKET}={bucket}: a weight sync takes {taken} MB of {SHARED_MEMORY}, where {free} are free; set less, "
            f"but at least {largest}, or give it more memory (docker run --shm-size)"
        )


def _stored(folder: Path) -> int:
    """Bytes of the weights as they lie in the folder; 0 where they are not in safetensors."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _stored_itemsize(model: Mapping[str, Any]) -> int:
    return 2 if (model.get("dtype") or model.get("torch_dtype")) in ("bfloat16", "float16") else 4
