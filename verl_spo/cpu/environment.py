"""The environment variables a run without an accelerator needs, in one place.

`verl-spo train` sets them for the driver, Ray hands them to every worker; a process that starts some other way gets
them when the plug-in loads. What the user has set stays.
"""

import os

ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    # verl/workers/engine/base.py registers the FSDP engine for "cuda" and "npu" only.
    "VERL_ENGINE_DEVICE": "cuda",
    # vLLM otherwise takes 4 GiB for the KV cache and binds its threads to cores that other workers use too.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    # Ray empties the visible devices of actors without a GPU of their own, such as the vLLM server.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def is_selected() -> bool:
    """Whether this process belongs to a run without an accelerator (`VERL_PLATFORM=cpu`)."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def complete() -> None:
    """Set whatever of `ENVIRONMENT` is unset."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
