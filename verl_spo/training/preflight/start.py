"""What a run starts from must be there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.config import SPOConfig
from verl_spo.errors import ConfigError, DataError, StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.transfer.scores import read_scores
from verl_spo.training import checkpoint, parallelism
from verl_spo.training.verl_options import run_name


def check(config: DictConfig, spo: SPOConfig) -> None:
    """Look for the estimates that `spo.init` names.

    Raises:
        ConfigError: This start does not go with other options.
        DataError: The file is missing or cannot be read.
        StoreError: The run is not in the database.
    """
    match spo.init:
        case "file":
            with _naming("spo.init_file"):
                read_scores(str(spo.init_file))
        case "run":
            with _naming("spo.init_run"), open_reader(spo.store.url) as reader:
                queries.run(reader, str(spo.init_run))
        case "rollouts":
            reward_model = config.reward.reward_model
            if reward_model.enable and not reward_model.enable_resource_pool:
                raise ConfigError(
                    "reward.reward_model.enable_resource_pool=False: spo.init=rollouts wants rewards while it "
                    "generates; set True, or another spo.init"
                )


def check_branch(config: DictConfig, folder: Path) -> None:
    """Look for the checkpoint that `spo.branch_from` names, and make sure that it stays.

    Raises:
        ConfigError: It is no checkpoint's folder, or another option would delete it.
        CheckpointError: It is missing, torn, of this very run or of another format.
    """
    if not re.fullmatch(r"global_step_\d+", folder.name):
        raise ConfigError(f"spo.branch_from={folder}: must be the folder of a checkpoint, .../global_step_N")
    if config.trainer.del_local_ckpt_after_load:
        raise ConfigError(
            "trainer.del_local_ckpt_after_load=True: would delete the weights of the run that spo.branch_from names; "
            "set False"
        )
    checkpoint.check(folder, run_name(config), branches=True)


def check_ranks(config: DictConfig, folder: Path) -> None:
    """Look whether a checkpoint was written by as many ranks as will load it.

    verl's FSDP engine loads no other number (verl/utils/checkpoint/fsdp_checkpoint_manager.py:215); Megatron's does.

    Raises:
        ConfigError: It was not.
    """
    layout = parallelism.of(config)
    shards = (folder / "actor").glob("model_world_size_*_rank_0.pt") if layout.engine == "fsdp" else ()
    saved = sorted(int(shard.name.split("_")[3]) for shard in shards)
    if saved and layout.gpus not in saved:
        raise ConfigError(
            f"trainer.nnodes={config.trainer.nnodes} times trainer.n_gpus_per_node={config.trainer.n_gpus_per_node}: "
            f"{folder} has the shards of {saved[0]} FSDP ranks, and verl loads them on no other number; set {saved[0]}"
        )


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Put the option before what is said of its value."""
    try:
        yield
    except (DataError, StoreError) as error:
        raise type(error)(f"{option}: {error}") from error
