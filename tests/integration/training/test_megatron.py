"""SPO on verl's Megatron engine: tensor and pipeline parallel, beside FSDP on the same prompts and chances."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.agreement import OPTIONS, STEPS, assert_equal_work, assert_same_run, greedy_answers

pytestmark = pytest.mark.verl


@pytest.mark.parametrize("parallel", ["tp2", pytest.param("pp2", marks=pytest.mark.long)])
def test_megatron_does_what_fsdp_does(parallel: str, beside_whole: Path, train: Callable[..., int]) -> None:
    train(parallel, *OPTIONS, recipe=f"cpu/arithmetic_spo_megatron_{parallel}")
    assert_equal_work(beside_whole, "whole", parallel)
    answers = greedy_answers(beside_whole, parallel)
    assert answers == greedy_answers(beside_whole, "whole")
    assert len(set(answers)) > 10


@pytest.mark.long
@pytest.mark.parametrize("parallel", ["tp2", "pp2"])
def test_a_run_on_megatron_resumes_bit_for_bit(parallel: str, run_dir: Path, train: Callable[..., int]) -> None:
    recipe = f"cpu/arithmetic_spo_megatron_{parallel}"
    train("whole", *OPTIONS, recipe=recipe)
    for steps in (STEPS // 2, STEPS):
        train("cut", *OPTIONS, f"trainer.total_training_steps={steps}", recipe=recipe)
    assert_same_run(run_dir, "whole", "cut")
