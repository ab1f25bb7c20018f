"""Where the history lies: one place for who starts a run, who trains and who reads, whichever machine Ray chooses."""

import os

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import StoreConfig
from verl_spo.errors import ConfigError
from verl_spo.store.database.connections import check_writable
from verl_spo.store.database.filesystems import network_type
from verl_spo.store.database.urls import absolute, describe, is_relative, is_sqlite, parse, sqlite_path, variable
from verl_spo.training import provenance


def check(config: DictConfig, store: StoreConfig) -> None:
    """Make sure that the history can be written, and that everybody means the same place.

    Raises:
        ConfigError: A SQLite file is another one, or none, on the machine that trains.
        StoreError: The database cannot be used.
    """
    url, here = parse(store.url), provenance.host()
    if why := cluster(config):
        check_path(store.url, why)
    if is_sqlite(url) and store.host not in (None, here):
        raise ConfigError(
            f"spo.store.host={store.host}: the SQLite file is that machine's, but Ray started the trainer on {here}; "
            "start the run from there, or use Postgres (spo.store.url)"
        )
    check_writable(store.url)


def cluster(config: DictConfig) -> str | None:
    """The setting by which Ray may start the trainer on another machine than this one; None if it will not."""
    if config.trainer.nnodes > 1:
        return f"trainer.nnodes={config.trainer.nnodes}"
    option, variable = "ray_kwargs.ray_init.address", "RAY_ADDRESS"
    given = OmegaConf.select(config, option)
    name, address = (option, given) if given else (variable, os.environ.get(variable))
    return f"{name}={address}" if address and address != "local" else None


def fixed(store: StoreConfig) -> dict[str, str]:
    """Options by which a SQLite file stays this one, in every working directory and on no other machine.

    A variable that is not set here may hold any URL elsewhere.
    """
    name = variable(store.url)
    if (name and name not in os.environ) or not is_sqlite(parse(store.url)):
        return {}
    return {"spo.store.url": absolute(store.url), "spo.store.host": provenance.host()}


def shown(store: StoreConfig) -> str:
    """The place, for people: without the password."""
    return describe(parse(absolute(store.url)))


def check_path(url: str, why: str) -> None:
    """Refuse a SQLite file that is another one, or none, on the machine that trains.

    Args:
        url: Of the database.
        why: The setting by which that may be another machine.

    Raises:
        ConfigError: It is such a file.
    """
    parsed = parse(url)
    if not is_sqlite(parsed):
        return
    network = network_type(sqlite_path(parsed))
    if network or is_relative(parsed):
        place = f"on a network file system ({network})" if network else "wherever the trainer has its working directory"
        raise ConfigError(
            f"spo.store.url={url}: lies {place}, and {why} lets Ray choose the machine that trains; give an absolute "
            "path on a local disk, as sqlite:////data/verl_spo.db, or Postgres"
        )
