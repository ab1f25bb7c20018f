"""The nodes of a Ray cluster that a run will join: what is installed there, and which of the run's files they see."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import ConfigError, PluginError
from verl_spo.launching import cluster
from verl_spo.launching.cluster import Answer
from verl_spo.training import provenance, verl_options


@dataclass(frozen=True)
class Node:
    """What a node answered.

    Attributes:
        host: Its name.
        versions: What is installed there, by distribution.
        missing: Of the paths asked for, those that it does not see.
    """

    host: str
    versions: dict[str, str]
    missing: tuple[str, ...]


def check(config: DictConfig) -> str | None:
    """Hold every node's versions against this machine's, and look for the run's files there.

    Returns:
        Why it was not checked; None where it was.

    Raises:
        PluginError: A node has other versions, or lacks verl-spo.
        ConfigError: The cluster does not answer, or a node does not see a file.
    """
    if (address := cluster.joins(config)) is None:
        several = f"trainer.nnodes={config.trainer.nnodes}: no cluster is named (RAY_ADDRESS)"
        return several if config.trainer.nnodes > 1 else None
    cluster.check(config)
    for node in survey(address, paths(config)):
        _check_versions(node)
        if node.missing:
            raise ConfigError(
                f"node {node.host}: does not see {', '.join(node.missing)}; put it where all nodes have it, under the "
                "same path"
            )
    return None


def paths(config: DictConfig) -> list[str]:
    """Files and folders of this machine that a run names: data, model, checkpoints."""
    model = config.actor_rollout_ref.model.path
    named = [*_files(config), str(Path(model).expanduser()), config.trainer.default_local_dir]
    return [str(Path(each).absolute()) for each in named if Path(each).exists()]


def survey(address: str, wanted: Sequence[str]) -> list[Node]:
    """Ask every node.

    Raises:
        ConfigError: There is no cluster at the address, or a node does not answer.
        PluginError: A node lacks verl-spo.
    """
    try:
        answers = cluster.ask_everywhere(address, _look, list(wanted))
    except ConnectionError as error:
        raise ConfigError(f"Ray cluster {address}: {error}; start it, or unset RAY_ADDRESS") from error
    return [_node(answer) for answer in answers]


def _node(answer: Answer) -> Node:
    if isinstance(answer.error, TimeoutError):
        raise ConfigError(f"node {answer.host}: did not answer in {cluster.ANSWER_S:g} s") from answer.error
    if answer.error:
        raise PluginError(
            f"node {answer.host}: cannot run verl-spo: {answer.error}; install the same environment there"
        ) from answer.error
    versions, missing = answer.value
    return Node(answer.host, versions, tuple(missing))


def _look(wanted: list[str]) -> tuple[dict[str, str], list[str]]:
    """Runs on a node."""
    return provenance.versions(), [each for each in wanted if not Path(each).exists()]


def _check_versions(node: Node) -> None:
    here = provenance.versions()
    for name in sorted({*here, *node.versions}):
        ours, theirs = here.get(name, "not installed"), node.versions.get(name, "not installed")
        if ours != theirs:
            raise PluginError(f"node {node.host}: {name} {theirs}, and here {ours}; install the same on every node")


def _files(config: DictConfig) -> list[str]:
    if verl_options.has_own_dataset(config):
        return []
    return [name for split in ("train_files", "val_files") for name in verl_options.data_files(config, split)]
