"""Seconds of a step."""

from dataclasses import replace

import pytest

from tests.support.planned import GENERATION, QWEN3_8B, WORK, built, megatron, training
from verl_spo.planning import memory, rollout, timing
from verl_spo.planning.hardware import Hardware
from verl_spo.planning.settings import Generation, Training, Work
from verl_spo.planning.sizes import GIB
from verl_spo.planning.timing import StepTime

FLOPS = 526e15


def step(
    asked: Training, generation: Generation = GENERATION, work: Work = WORK, hardware: Hardware | None = None
) -> StepTime:
    layout, hardware = asked.layout, hardware or Hardware()
    trainer = memory.of_training(QWEN3_8B, asked, built(layout.tensor * layout.pipeline, layout.pipeline))
    share = rollout.of_rollout(QWEN3_8B, generation, 80 * GIB)
    return timing.of_step(QWEN3_8B, asked, generation, work, FLOPS, trainer, share, hardware)


def test_update_and_log_probs_follow_from_flops() -> None:
    seconds = step(training(megatron(tensor=2)))
    forward = FLOPS / 3 / (8 * 989e12 * 0.4)
    assert seconds.old_log_prob == seconds.rescoring == pytest.approx(forward)
    # Two for the backward pass, one for what is computed again.
    assert seconds.update == pytest.approx(4 * forward)
    assert step(training(megatron(tensor=2), recompute=0)).update == pytest.approx(3 * forward)
    assert step(training(megatron(tensor=2), recompute=18, recompute_block=True)).update == pytest.approx(3.5 * forward)


def test_passes_that_a_recipe_does_not_make_take_no_time() -> None:
    seconds = step(training(megatron(tensor=2)), work=replace(WORK, old_log_prob=False, rescoring=False))
    assert (seconds.old_log_prob, seconds.rescoring) == (0, 0)


def test_a_pipeline_is_empty_for_a_while() -> None:
    plain, staged = step(training(megatron(tensor=2))), step(training(megatron(tensor=2, pipeline=2)))
    # 128 trajectories of 10,240 tokens over two ranks: 32 micro-batches of 20,480.
    assert staged.update == pytest.approx(plain.update * (1 + 1 / 32))


def test_decoding_reads_weights_and_cache_for_each_token() -> None:
    # 64 trajectories of four replicas: all 16 at once.
    seconds = step(training(megatron(tensor=2)), work=replace(WORK, trajectories=64))
    share = rollout.of_rollout(QWEN3_8B, GENERATION, 80 * GIB)
    read = share.weights + 16 * (2048 + 4096) * share.per_token
    prompts = 16 * 2048 * 2 * QWEN3_8B.parameters / 2 / (989e12 * 0.4)
    assert seconds.generation == pytest.approx(8192 * read / (3.35e12 * 0.5) + prompts)


def test_sequences_for_which_there_is_no_place_wait() -> None:
    few, many = (step(training(megatron(tensor=2)), replace(GENERATION, sequences=most)).generation for most in (8, 64))
    assert few > 2 * many


def test_generation_on_gpus_of_its_own_overlaps() -> None:
    seconds = step(training(megatron(tensor=2)), replace(GENERATION, shares=False))
    trainer = seconds.old_log_prob + seconds.rescoring + seconds.update + seconds.weight_sync
    assert seconds.total == max(seconds.generation, trainer)
    beside = step(training(megatron(tensor=2)))
    assert beside.total == pytest.approx(beside.generation + trainer)


def test_what_is_offloaded_travels_both_ways() -> None:
    kept = training(megatron(tensor=2), parameters_offloaded=False, optimizer_offloaded=False)
    moved = memory.of_training(QWEN3_8B, training(megatron(tensor=2)), built(2))
    difference = step(training(megatron(tensor=2))).weight_sync - step(kept).weight_sync
    assert difference == pytest.approx(2 * (moved.parameters + moved.optimizer) / 32e9)
