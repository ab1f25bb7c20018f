"""The checks of a recipe, by subject: `verl-spo train` stops at the first that fails, `verl-spo doctor` runs all."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.config import SPOConfig
from verl_spo.training import architecture, checkpoint, store_location
from verl_spo.training.architecture import Architecture
from verl_spo.training.preflight import (
    batches,
    data,
    disk,
    groups,
    lengths,
    model,
    options,
    parallel,
    rescoring,
    rewards,
    start,
    tools,
    transformer,
    verl_checks,
    vllm_arguments,
    weights,
)
from verl_spo.training.verl_options import branch_point, checkpoint_folder, own_checkpoint, run_name, spo_config


@dataclass(frozen=True)
class Check:
    """One subject.

    Attributes:
        subject: What is looked at, in a few words.
        run: Raises an `SPOError` where something is wrong; returns why it could not be checked, or None.
    """

    subject: str
    run: Callable[[], str | None]


def of_options(config: DictConfig) -> list[Check]:
    """Options of any recipe against each other."""
    return [
        Check("reward options", partial(rewards.check_names, config)),
        Check("tools", partial(tools.check, config)),
        Check("batches", partial(batches.check, config)),
        Check("parallelism", partial(parallel.check, config)),
        Check("lengths", partial(lengths.check, config)),
    ]


def of_model(config: DictConfig) -> list[Check]:
    """Options of any recipe against its model."""
    return [
        Check("model folder", partial(_model_folder, config)),
        Check("parallelism of the model", partial(_model, config, parallel.check_model)),
        Check("lengths of the model", partial(_model, config, lengths.check_model)),
    ]


def of_spo(config: DictConfig, spo: SPOConfig) -> list[Check]:
    """Cheap checks of a recipe with SPO."""
    return [
        Check("SPO's options", partial(options.check, config, spo)),
        *of_options(config),
        Check("data", partial(data.check, config)),
        Check("reward range", partial(rewards.check_range, config, spo)),
        *of_model(config),
        Check("re-scoring", partial(rescoring.check, config, spo)),
        Check("database", partial(store_location.check, config, spo.store)),
        Check("start", partial(_start, config, spo)),
    ]


def of_other(config: DictConfig) -> list[Check]:
    """Cheap checks of a recipe without SPO, such as a GRPO baseline."""
    return [Check("groups", partial(groups.check, config)), *of_options(config), *of_model(config)]


def of_evaluation(config: DictConfig, spo: SPOConfig) -> list[Check]:
    """Cheap checks of an evaluation."""
    return [
        Check("reward options", partial(rewards.check_names, config)),
        Check("tools", partial(tools.check, config)),
        Check("parallelism", partial(parallel.check, config)),
        Check("lengths", partial(lengths.check, config)),
        Check("benchmarks", partial(data.check_validation, config)),
        *of_model(config),
        Check("database", partial(store_location.check, config, spo.store)),
        Check("start", partial(_ranks, config)),
    ]


def thorough(config: DictConfig) -> list[Check]:
    """Checks that import verl's trainer, Megatron and vLLM, or look at what may change until the start."""
    return [
        Check("verl's own checks", partial(verl_checks.check, config)),
        Check("verl's dataclasses", partial(verl_checks.check_groups, config)),
        Check("Megatron's options", partial(transformer.check, config)),
        Check("vLLM's arguments", partial(vllm_arguments.check, config)),
        Check("room for checkpoints", partial(_model, config, disk.check)),
    ]


def _model_folder(config: DictConfig) -> str | None:
    if folder := model.check(config):
        weights.check(config, folder)
        return None
    return _not_here(config)


def _model(config: DictConfig, check: Callable[[DictConfig, Architecture], str | None]) -> str | None:
    found = architecture.of(config)
    return _not_here(config) if found is None else check(config, found)


def _not_here(config: DictConfig) -> str:
    return f"actor_rollout_ref.model.path={config.actor_rollout_ref.model.path}: the model is not on this machine"


def _start(config: DictConfig, spo: SPOConfig) -> None:
    branch: Path | None
    if branch := branch_point(config):
        start.check_branch(config, branch)
    elif own := own_checkpoint(config):
        checkpoint.check(own, run_name(config))
    else:
        start.check(config, spo)
    _ranks(config)


def _ranks(config: DictConfig) -> None:
    if folder := checkpoint_folder(config):
        start.check_ranks(config, folder)


def cheap(config: DictConfig, with_spo: bool) -> list[Check]:
    """All cheap checks of a recipe.

    Raises:
        ConfigError: The `spo` group is not valid.
    """
    return of_spo(config, spo_config(config)) if with_spo else of_other(config)
