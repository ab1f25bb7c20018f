"""Why a start failed, from what real processes said (`outputs/`, made by Ray 2.60 and vLLM 0.27; frames left out)."""

from importlib.metadata import distribution
from pathlib import Path

import pytest

from verl_spo.launching import failures

OUTPUTS = Path(__file__).parent / "outputs"

# Where the known messages stand in what is installed here; of PyTorch's and of Ray's compiled parts as well.
SOURCES = {
    "is too large to fit in the bucket": "verl/workers/rollout/vllm_rollout/bucketed_weight_transfer.py",
    "is less than total desired GPUs": "verl/single_controller/ray/base.py",
    "When connecting to an existing cluster": "ray/_private/worker.py",
    "is less than desired GPU memory utilization": "vllm/v1/worker/utils.py",
    "No available memory for the cache blocks": "vllm/v1/core/kv_cache_utils.py",
    "with the model's max seq len": "vllm/v1/core/kv_cache_utils.py",
    "is less than requested memory for kv": "vllm/v1/worker/cpu_worker.py",
    "CUDA out of memory": "vllm/v1/worker/gpu_model_runner.py",
    "killed by the OOM killer": "ray/core/src/ray/raylet/raylet",
    "running low on memory": "ray/core/src/ray/raylet/raylet",
    "is not a valid model identifier": "transformers/utils/hub.py",
    "access a gated repo": "transformers/utils/hub.py",
}
FROM_THE_SYSTEM = {"No space left on device", "Too many open files"}


def found_in(name: str) -> str:
    return str(failures.find((OUTPUTS / f"{name}.txt").read_text()))


def test_of_a_worker_that_another_worker_waits_for_the_innermost_error_is_shown() -> None:
    assert found_in("worker_of_a_worker") == (
        "ValueError: weights of /x do not fit\nsecond line of it\nraised in WorkerDict, /home/nested.py:9, init_model"
    )


def test_a_worker_that_was_killed_is_told_with_what_may_help() -> None:
    shown = found_in("killed_worker").splitlines()
    assert shown[0] == "ActorDiedError: The actor died unexpectedly before finishing this task."
    assert "class_name: TaskRunnerV1" in shown
    assert shown[-1].startswith("What helps: if the machine ran out of memory")


def test_where_the_front_points_at_the_engine_the_engine_is_shown() -> None:
    shown = found_in("engine").splitlines()
    assert shown[0].startswith("RuntimeError: Worker failed with error 'Available memory on node 0 (18.39/23.54 GiB)")
    assert shown[1] == "raised in EngineCore, /venv/vllm/v1/executor/multiproc_executor.py:405, get_response"
    assert shown[2] == "What helps: lower the variable VLLM_CPU_KVCACHE_SPACE, in GiB"


def test_where_every_session_has_failed_the_reason_is_shown() -> None:
    shown = found_in("dead_sessions").splitlines()
    assert shown[0].startswith(
        "RuntimeError: Worker failed with error 'Unsupported CPU attention configuration: head_dim"
    )
    assert shown[1].startswith("raised in EngineCore, ")


@pytest.mark.parametrize("output", ["", "Training Progress: 10%\n", "(WorkerDict pid=3) ValueError: tried again\n"])
def test_an_output_without_an_error_has_none(output: str) -> None:
    assert failures.find(output) is None


def test_the_last_lines_have_no_colours_and_a_width() -> None:
    output = "\x1b[36m(WorkerDict pid=3)\x1b[0m one\n\n" + "x" * 20 + "\nthree\n"
    assert failures.last_lines(output, count=2, width=10) == "xxxxxxxxxx…\nthree"
    assert failures.last_lines(output, count=9) == f"(WorkerDict pid=3) one\n{'x' * 20}\nthree"


@pytest.mark.parametrize("message", failures.REMEDIES)
def test_a_known_message_is_one_that_is_still_written(message: str) -> None:
    if message in FROM_THE_SYSTEM:
        return
    path = Path(str(distribution("verl").locate_file(SOURCES[message])))
    assert message.encode() in path.read_bytes()


@pytest.mark.parametrize("message", failures.REMEDIES)
def test_a_known_message_brings_its_remedy(message: str) -> None:
    output = f'Traceback (most recent call last):\n  File "a.py", line 1, in f\nOSError: [Errno 1] {message} (here)\n'
    assert f"What helps: {failures.REMEDIES[message]}" in str(failures.find(output))
