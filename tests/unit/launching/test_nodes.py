"""Nodes of a cluster: versions and paths, asked of a real Ray node."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.support.configured import configure, make_files
from verl_spo.errors import ConfigError, PluginError
from verl_spo.launching import cluster, nodes
from verl_spo.launching.nodes import Node
from verl_spo.training import provenance


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield started.address
    started.shutdown()


@pytest.mark.slow
def test_a_node_says_what_it_has(address: str, tmp_path: Path) -> None:
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    (node,) = nodes.survey(address, [str(here), str(gone)])
    assert node.versions == provenance.versions()
    assert node.missing == (str(gone),)
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", refuses)
    with pytest.raises(ConfigError, match=r"Ray cluster 10.0.0.1:6379: nobody there; start it, or unset RAY_ADDRESS"):
        nodes.survey("10.0.0.1:6379", [])


def answering(monkeypatch: pytest.MonkeyPatch, **changed: object) -> None:
    answer = {"host": "far", "versions": provenance.versions(), "missing": (), **changed}
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(nodes, "survey", lambda *_: [Node(**answer)])


def test_another_version_on_a_node_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, versions={**provenance.versions(), "verl": "0.8.0"})
    with pytest.raises(PluginError, match=r"node far: verl 0.8.0, and here 0.9.1; install the same on every node"):
        nodes.check(configure(tmp_path))


def test_a_path_that_a_node_does_not_see_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, missing=("/data/train.parquet",))
    with pytest.raises(ConfigError, match=r"node far: does not see /data/train.parquet; put it where all "):
        nodes.check(configure(tmp_path))


def test_without_a_cluster_several_nodes_are_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "joins", lambda _: None)
    assert nodes.check(configure(tmp_path)) is None
    assert "no cluster is named" in str(nodes.check(configure(tmp_path, "trainer.nnodes=4")))


def test_the_files_of_a_run_are_asked_for(tmp_path: Path) -> None:
    make_files(tmp_path)
    names = ("data/train.parquet", "data/validation.parquet", "model")
    assert nodes.paths(configure(tmp_path)) == [str(tmp_path / name) for name in names]
