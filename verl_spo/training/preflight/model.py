"""The model's folder."""

from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import DataError
from verl_spo.training import architecture


def check(config: DictConfig) -> Path | None:
    """Find the model's folder, or what the hub's cache has of it; None leaves a name or address to verl.

    Raises:
        DataError: There is no model in the folder.
    """
    model = str(config.actor_rollout_ref.model.path)
    folder = Path(model).expanduser()
    if not (model.startswith((".", "/", "~")) or folder.exists()):
        return architecture.downloaded(model)
    if not (folder / "config.json").is_file():
        raise DataError(f"actor_rollout_ref.model.path={model}: no model folder (no config.json in it)")
    return folder
