"""Storage that outlives a cluster: where checkpoints must lie."""

from dataclasses import dataclass

from verl_spo.errors import ConfigError


@dataclass(frozen=True)
class Volume:
    """A store, and the path under which every node sees it.

    Attributes:
        source: A claim's name (Kubernetes), or a bucket's address (SkyPilot).
        path: Absolute.
    """

    source: str
    path: str


def parse(text: str) -> Volume:
    """Read SOURCE:PATH.

    Raises:
        ConfigError: It is not that.
    """
    source, _, path = text.rpartition(":")
    if not source or not path.startswith("/") or path.startswith("//"):
        raise ConfigError(
            f"--volume {text}: must be SOURCE:PATH, such as checkpoints:/checkpoints or s3://bucket:/data"
        )
    return Volume(source, path)
