"""One database for who starts a run, who trains and who reads."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_spo.config import StoreConfig
from verl_spo.errors import ConfigError
from verl_spo.training import provenance, store_location


def config(nnodes: int = 1, **ray_init: str) -> DictConfig:
    return OmegaConf.create({"trainer": {"nnodes": nnodes}, "ray_kwargs": {"ray_init": ray_init}})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; nobody has named a cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


CLUSTERS = [
    (config(nnodes=2), None, "trainer.nnodes=2"),
    (config(address="auto"), None, "ray_kwargs.ray_init.address=auto"),
    (config(address="auto"), "local", "ray_kwargs.ray_init.address=auto"),
    (config(), "10.0.0.1:6379", "RAY_ADDRESS=10.0.0.1:6379"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("given", "variable", "expected"), CLUSTERS)
def test_where_ray_chooses_the_machine_a_relative_path_is_refused(
    given: DictConfig, variable: str | None, expected: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    with pytest.raises(ConfigError) as caught:
        store_location.check(given, StoreConfig())
    assert str(caught.value) == (
        "spo.store.url=sqlite:///verl_spo.db: lies wherever the trainer has its working directory, and "
        f"{expected} lets Ray choose the machine that trains; give an absolute path on a local disk, as "
        "sqlite:////data/verl_spo.db, or Postgres"
    )
    assert list(place.iterdir()) == []
    store_location.check(given, StoreConfig(url=f"sqlite:///{place}/runs.db"))


@pytest.mark.parametrize(
    ("given", "variable"), [(config(), None), (config(), "local"), (config(address="local"), "x:1")]
)
def test_on_one_machine_a_relative_path_will_do(
    given: DictConfig, variable: str | None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    store_location.check(given, StoreConfig())
    assert (place / "verl_spo.db").is_file()


def test_a_network_file_system_is_refused_where_ray_chooses(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_location, "network_type", lambda path: "nfs4")
    store = StoreConfig(url=f"sqlite:///{place}/runs.db")
    with pytest.raises(ConfigError, match=r"lies on a network file system \(nfs4\), and trainer.nnodes=2"):
        store_location.check(config(nnodes=2), store)
    store_location.check(config(), store)


def test_postgres_will_do_everywhere(postgres_url: str) -> None:
    store_location.check(config(nnodes=2), StoreConfig(url=postgres_url, host="elsewhere"))
    assert store_location.fixed(StoreConfig(url=postgres_url)) == {}


def test_a_trainer_on_another_machine_than_the_file_refuses_to_start(place: Path) -> None:
    url = f"sqlite:///{place}/runs.db"
    with pytest.raises(ConfigError, match=rf"spo.store.host=node-7: .* started the trainer on {provenance.host()}; "):
        store_location.check(config(nnodes=2), StoreConfig(url=url, host="node-7"))
    assert list(place.iterdir()) == []
    store_location.check(config(nnodes=2), StoreConfig(url=url, host=provenance.host()))
