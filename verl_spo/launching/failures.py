"""Why a start failed: the worker's own error, found in verl's output, and what helps where that is known."""

import re
from dataclasses import dataclass

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
# Ray puts the worker before each of its lines; vLLM names its own processes likewise, and then the place.
_WORKER = re.compile(r"\((?P<name>\w+) pid=\d+[^)]*\) ?")
_VLLM = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?")

_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')
# Where a worker raised what another process waits for (ray/exceptions.py, RayTaskError).
_TASK = re.compile(r"(?:ray\.exceptions\.RayTaskError\([^)]*\): )?ray::(?P<worker>\w+)[\w.]*\(\) \(pid=")
_RAY = "/ray/_private/"
_BEGINNING = ("Traceback (most recent call last)", "During handling of the above", "The above exception was")

_POINTERS = (
    "See root cause above",
    "See stack trace (above) for the root cause",
    "no materializable trajectories",
)
"""vLLM's front says only that its engine has failed (v1/engine/utils.py:1254, v1/engine/exceptions.py:16), and verl's
replay buffer that every session has (trainer/ppo/v1/replay_buffer.py:510)."""

_ENGINE, _SESSION = ("EngineCore", "Worker"), ("AgentLoopWorker", "RewardLoopWorker")

REMEDIES = {
    "is too large to fit in the bucket": (
        "set actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes above the size of the model's "
        "largest tensor"
    ),
    "is less than total desired GPUs": (
        "set trainer.n_gpus_per_node and trainer.nnodes to what there is, or free accelerators (`ray status`)"
    ),
    "When connecting to an existing cluster": (
        "set it to null in ray_kwargs.ray_init (such as ray_kwargs.ray_init.num_cpus=null): the cluster has its own"
    ),
    "is less than desired GPU memory utilization": (
        "lower actor_rollout_ref.rollout.gpu_memory_utilization, or end what else uses the device"
    ),
    "No available memory for the cache blocks": (
        "raise actor_rollout_ref.rollout.gpu_memory_utilization (without an accelerator: the variable "
        "VLLM_CPU_KVCACHE_SPACE, in GiB)"
    ),
    "with the model's max seq len": (
        "lower actor_rollout_ref.rollout.max_model_len, or raise actor_rollout_ref.rollout.gpu_memory_utilization"
    ),
    "is less than requested memory for kv": "lower the variable VLLM_CPU_KVCACHE_SPACE, in GiB",
    "CUDA out of memory": (
        "lower ppo_max_token_len_per_gpu or ppo_micro_batch_size_per_gpu of actor_rollout_ref.actor, or "
        "actor_rollout_ref.rollout.gpu_memory_utilization; or actor_rollout_ref.actor.fsdp_config.param_offload=True"
    ),
    "killed by the OOM killer": (
        "if the machine ran out of memory (`dmesg` says so), use fewer workers (data.dataloader_num_workers, "
        "actor_rollout_ref.rollout.agent.num_workers) or a lower spo.previous_tokens"
    ),
    "running low on memory": (
        "the machine ran out of memory: use fewer workers (data.dataloader_num_workers, "
        "actor_rollout_ref.rollout.agent.num_workers) or a lower spo.previous_tokens"
    ),
    "No space left on device": (
        "free the disk; trainer.max_actor_ckpt_to_keep keeps fewer checkpoints, and the files of Ray lie in "
        "/tmp/ray, shared memory in /dev/shm"
    ),
    "Too many open files": "raise the limit in the shell that starts the run: ulimit -n 65535",
    "is not a valid model identifier": (
        "set actor_rollout_ref.model.path to a folder or to a model of the hub; private ones need the variable HF_TOKEN"
    ),
    "access a gated repo": "ask for access to the model on its page, and set the variable HF_TOKEN",
}
"""Parts of messages of verl, vLLM, Ray, PyTorch and transformers, and what helps."""


@dataclass
class Failure:
    """An exception as the output shows it.

    Attributes:
        worker: Who raised it; empty for the driver.
        origin: File, line and function; empty where the output does not say.
        lines: Its kind and message.
    """

    worker: str
    origin: str
    lines: list[str]

    @property
    def remedy(self) -> str | None:
        """What helps, where that is known."""
        message = "\n".join(self.lines)
        return next((remedy for known, remedy in REMEDIES.items() if known in message), None)

    def __str__(self) -> str:
        """For people, on a few lines: the error, where it was raised, what helps."""
        where = ", ".join(filter(None, (self.worker, self.origin)))
        lines = [
            *self.lines,
            f"raised in {where}" if where else "",
            f"What helps: {self.remedy}" if self.remedy else "",
        ]
        return "\n".join(filter(None, lines))


def find(output: str) -> Failure | None:
    """The error that ended a start, as verl's output has it; None where it shows none."""
    streams = _by_worker(output)
    found = _failures("", streams.pop("", []))
    if not found:
        return None
    if any(pointer in line for line in found[-1].lines for pointer in _POINTERS):
        found += next(filter(None, (_of(streams, names) for names in (_ENGINE, _SESSION))), [])
    return found[-1]


def _of(streams: dict[str, list[str]], names: tuple[str, ...]) -> list[Failure]:
    """The exceptions of the processes whose names begin so."""
    return [each for name, lines in streams.items() if name.startswith(names) for each in _failures(name, lines)]


def last_lines(output: str, count: int, width: int = 300) -> str:
    """The end of verl's output without colours, each line cut to a width."""
    lines = [line for line in _COLOR.sub("", output).splitlines() if line.strip()]
    return "\n".join(line if len(line) <= width else f"{line[:width]}…" for line in lines[-count:])


def _by_worker(output: str) -> dict[str, list[str]]:
    """Lines of each process, without what tells whose they are."""
    streams: dict[str, list[str]] = {}
    for line in _COLOR.sub("", output).splitlines():
        name = ""
        while prefix := _WORKER.match(line):
            name, line = prefix["name"], line[prefix.end() :]
        streams.setdefault(name, []).append(_VLLM.sub("", line, count=1) if name else line)
    return streams


def _failures(worker: str, lines: list[str]) -> list[Failure]:
    """The exceptions of a process's tracebacks, in order."""
    found: list[Failure] = []
    origin, where = "", "outside"
    for line in lines:
        if task := _TASK.match(line):
            worker, origin, where = task["worker"], "", "traceback"
        elif line.startswith(_BEGINNING):
            origin, where = "", "traceback"
        elif where == "traceback" and line[:1].strip():
            found.append(Failure(worker, origin, [_bare(line)]))
            where = "message"
        elif where == "message" and line.strip():
            found[-1].lines.append(line.strip())
        elif where == "message":
            where = "outside"
        elif (frame := _FRAME.match(line)) and _RAY not in frame["file"]:
            origin = f"{frame['file']}:{frame['line']}, {frame['function']}"
    return found


def _bare(line: str) -> str:
    """An exception's line with the name of its class alone."""
    name, colon, message = line.partition(": ")
    return f"{name.rpartition('.')[2]}{colon}{message}"
