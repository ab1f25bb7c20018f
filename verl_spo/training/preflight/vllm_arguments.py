"""vLLM's own arguments, checked by vLLM, as its server would get them (vllm_rollout/vllm_async_server.py:325)."""

import importlib.util
from typing import Any

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import architecture
from verl_spo.training.verl_options import plain

# Passed on under their own names.
_SAME = (
    "dtype",
    "max_model_len",
    "max_num_seqs",
    "enable_chunked_prefill",
    "max_num_batched_tokens",
    "enable_prefix_caching",
    "logprobs_mode",
    "enforce_eager",
    "gpu_memory_utilization",
    "disable_log_stats",
    "scheduling_policy",
    "load_format",
)


def check(config: DictConfig) -> str | None:
    """Have vLLM make its configuration.

    Returns:
        Why it was not checked; None where it was.

    Raises:
        ConfigError: vLLM refuses an argument.
    """
    rollout, model = config.actor_rollout_ref.rollout, config.actor_rollout_ref.model
    if rollout.name != "vllm":
        return f"actor_rollout_ref.rollout.name={rollout.name}: only vLLM's arguments are checked"
    if importlib.util.find_spec("vllm") is None:
        return "vllm is not installed here"
    if (folder := architecture.folder(config)) is None:
        return f"actor_rollout_ref.model.path={model.path}: its config.json is not on this machine"
    return _engine(arguments(rollout) | {"model": str(folder), "trust_remote_code": model.trust_remote_code})


def arguments(rollout: DictConfig) -> dict[str, Any]:
    """What verl hands to vLLM's server."""
    own = plain(rollout.engine_kwargs).get("vllm") or {}
    same = {name: rollout[name] for name in _SAME if name in rollout}
    if not rollout.enable_chunked_prefill:
        # verl raises it to the longest sequence (vllm_rollout/vllm_async_server.py:1113); None leaves it to vLLM.
        longest = rollout.max_model_len
        same["max_num_batched_tokens"] = longest and max(longest, rollout.max_num_batched_tokens)
    given = {
        **same,
        "tensor_parallel_size": rollout.tensor_model_parallel_size,
        "seed": rollout.seed,
        "quantization": rollout.quantization,
        # Nothing of the tokenizer is needed to check arguments.
        "skip_tokenizer_init": True,
        **own,
    }
    return {name: value for name, value in given.items() if value is not None}


def _engine(given: dict[str, Any]) -> str | None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    try:
        AsyncEngineArgs(**given).create_engine_config()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"actor_rollout_ref.rollout: vLLM refuses it: {_said(error)}") from error
    except (RuntimeError, NotImplementedError, AssertionError, OSError) as error:
        # A build for another platform than this machine's.
        return f"vLLM cannot check its arguments on this machine: {_said(error)}"
    return None


def _said(error: Exception) -> str:
    """The reasons alone, which pydantic surrounds by values and addresses."""
    found = getattr(error, "errors", None)
    if found is None:
        return str(error).strip() or type(error).__name__
    return "; ".join(f"{'.'.join(map(str, each['loc'][:1]))} {each['msg']}".strip() for each in found())
