"""SPO on verl's Megatron engine by Megatron-Bridge, verl's default, and megatron-core 0.18: `make test-bridge`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.agreement import OPTIONS, STEPS, assert_equal_work, assert_same_run, greedy_answers

pytestmark = [
    pytest.mark.verl,
    pytest.mark.long,
    pytest.mark.skipif(
        find_spec("megatron.bridge") is None, reason="Megatron-Bridge is not in this environment: `make test-bridge`"
    ),
]

BY_BRIDGE = (*OPTIONS, "actor_rollout_ref.actor.megatron.vanilla_mbridge=False")


@pytest.mark.parametrize("parallel", ["tp2", "pp2"])
def test_by_megatron_bridge_it_does_what_fsdp_does(
    parallel: str, beside_whole: Path, train: Callable[..., int]
) -> None:
    train(parallel, *BY_BRIDGE, recipe=f"cpu/arithmetic_spo_megatron_{parallel}")
    assert_equal_work(beside_whole, "whole", parallel)
    answers = greedy_answers(beside_whole, parallel)
    assert answers == greedy_answers(beside_whole, "whole")
    assert len(set(answers)) > 10


@pytest.mark.parametrize("parallel", ["tp2", "pp2"])
def test_by_megatron_bridge_it_resumes_bit_for_bit(parallel: str, run_dir: Path, train: Callable[..., int]) -> None:
    recipe = f"cpu/arithmetic_spo_megatron_{parallel}"
    train("whole", *BY_BRIDGE, recipe=recipe)
    for steps in (STEPS // 2, STEPS):
        train("cut", *BY_BRIDGE, f"trainer.total_training_steps={steps}", recipe=recipe)
    assert_same_run(run_dir, "whole", "cut")
