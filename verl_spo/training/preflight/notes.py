"""Options of verl's that do not do under SPO what they say: no error, but named once at the start."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import POLICY_LOSS, SPOConfig
from verl_spo.training.preflight.data import tables
from verl_spo.training.verl_options import engine, spo_config

# Set by the launcher, which has said them before.
SAID = "VERL_SPO_NOTES_SAID"

_log = logging.getLogger(__name__)
_ROWS_ONLY = "prompts are drawn from the whole pool by {}; this only chooses rows for data.train_max_samples"
_PER_TOKEN = "an advantage is a trajectory's, the same for all its tokens"  # noqa: S105
# What holds instead, where the value is another than verl's default.
_WITHOUT_EFFECT = {
    "data.shuffle": (True, _ROWS_ONLY.format("spo.sampling")),
    "data.seed": (None, _ROWS_ONLY.format("spo.seed")),
    "data.gen_batch_size": (None, "prompts are drawn one data.train_batch_size at a time"),
    "algorithm.gamma": (1.0, _PER_TOKEN),
    "algorithm.lam": (1.0, _PER_TOKEN),
    "algorithm.norm_adv_by_std_in_grpo": (True, "spo.normalization says how advantages are normalized"),
    "algorithm.use_pf_ppo": (False, "that is for GAE; spo.sampling weighs prompts"),
    "trainer.default_hdfs_dir": (
        None,
        "verl copies weights there; a resume also needs SPO's state, in trainer.default_local_dir",
    ),
}


def log(config: DictConfig) -> None:
    """Log all notes as one message, unless the launcher has."""
    lines = notes(config, spo_config(config))
    if lines and SAID not in os.environ:
        _log.warning("verl's options under SPO:\n  %s", "\n  ".join(lines))


def notes(config: DictConfig, spo: SPOConfig) -> list[str]:
    """A line per option: its name, its value, and what holds instead."""
    found = (*_without_effect(config), *_epochs(config), *_loss(config, spo), *_schedule(config), *_folder(config))
    return [f"{option}={OmegaConf.select(config, option)}: {instead}" for option, instead in found]


def _without_effect(config: DictConfig) -> Iterator[tuple[str, str]]:
    for option, (default, instead) in _WITHOUT_EFFECT.items():
        if OmegaConf.select(config, option) != default:
            yield option, instead


def _epochs(config: DictConfig) -> Iterator[tuple[str, str]]:
    """verl's epoch is rows / batch steps, and it stops at whichever limit comes first (trainer_base.py:467, 765)."""
    steps = config.trainer.total_training_steps
    rows = sum(table.count_rows() for _, table in tables(config, "train_files"))
    last = rows // config.data.train_batch_size * config.trainer.total_epochs
    if steps is None:
        yield (
            "trainer.total_epochs",
            "an epoch is as many steps as there are rows for, not a visit of every prompt; "
            "trainer.total_training_steps says when to stop",
        )
    elif 0 < last < steps:
        yield (
            "trainer.total_epochs",
            f"{rows} rows end it after {last} steps, before trainer.total_training_steps={steps}; set more",
        )


def _loss(config: DictConfig, spo: SPOConfig) -> Iterator[tuple[str, str]]:
    actor = config.actor_rollout_ref.actor
    if spo.normalization == "token" and actor.loss_agg_mode != "token-mean":
        yield (
            "actor_rollout_ref.actor.loss_agg_mode",
            "spo.normalization=token makes the advantages' mean zero for token-mean; this loss weighs them otherwise",
        )
    if actor.policy_loss.loss_mode in ("vanilla", POLICY_LOSS) and actor.clip_ratio_c < 10:
        yield (
            "actor_rollout_ref.actor.clip_ratio_c",
            "the dual clip of verl's PPO-clip; [SPO] sets 10, at which it hardly ever cuts",
        )


def _schedule(config: DictConfig) -> Iterator[tuple[str, str]]:
    """verl's Megatron engine does not load what it saved (megatron_checkpoint_manager.py:956)."""
    actor, optim = config.actor_rollout_ref.actor, config.actor_rollout_ref.actor.optim
    if engine(actor) != "megatron" or optim.use_checkpoint_opt_param_scheduler:
        return
    if optim.lr_warmup_steps > 0 or optim.lr_warmup_steps_ratio > 0 or optim.lr_decay_style != "constant":
        yield (
            "actor_rollout_ref.actor.optim.use_checkpoint_opt_param_scheduler",
            "a resume begins the schedule of the learning rate anew, with its warm-up; set True",
        )


def _folder(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Each rank writes its part of a checkpoint, and reads what it resumes from, on its own machine."""
    folder = Path(config.trainer.default_local_dir)
    if config.trainer.nnodes > 1 and (not folder.is_absolute() or folder.is_relative_to("/tmp")):  # noqa: S108
        yield (
            "trainer.default_local_dir",
            "must be one folder for all nodes; this is each node's own, unless their working directory (of Ray) is "
            "one that they share: set an absolute path on a file system that they share",
        )
