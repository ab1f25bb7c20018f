"""A Ray cluster that is there before the run."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf
from ray.job_config import JobConfig

from verl_spo.errors import ConfigError
from verl_spo.launching import cluster, compose
from verl_spo.training.launcher import MARK

SLEEP = "import time; time.sleep(600)"


def joined(**options: object) -> str | None:
    return cluster.joins(OmegaConf.create({"ray_kwargs": {"ray_init": options}}))


def test_the_cluster_that_a_run_joins_is_the_one_that_ray_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert joined() is None
    assert joined(address="node-1:6379") == "node-1:6379"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("node-2:6379")
    assert joined() == "auto"
    assert joined(address="local") is None
    assert joined(_temp_dir="/elsewhere") is None
    monkeypatch.setenv("RAY_ADDRESS", "node-3:6379")
    assert joined() == "node-3:6379"


def test_a_cluster_that_is_gone_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray start --block` that is killed leaves its note."""
    config = OmegaConf.create({"ray_kwargs": {"ray_init": {}}})
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    cluster.check(config)
    note = tmp_path / "ray" / "ray_current_cluster"
    note.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        note.write_text(address)
        cluster.check(config)
    with pytest.raises(ConfigError, match=rf"Ray cluster {address}, which {note} notes: does not answer .* `ray stop`"):
        cluster.check(config)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    cluster.check(config)


def test_variables_reach_the_processes_of_a_cluster_through_verls_options() -> None:
    variables = {MARK: "host:4026531836:77:1.00:ab'c", "OMP_NUM_THREADS": "1"}
    config = compose.load("cpu/arithmetic_spo", cluster.hand_on(variables))
    assert config.ray_kwargs.ray_init.runtime_env.env_vars == variables


def test_secrets_reach_them_without_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a Ray job, what the job says of its environment stays."""
    name, url = "RAY_JOB_CONFIG_JSON_ENV_VAR", "postgresql://me:s3cret@db/spo"
    monkeypatch.delenv(name, raising=False)
    alone = JobConfig.from_json(json.loads(cluster.hand_on_in_secret({"VERL_SPO_DB": url})[name]))
    assert alone.runtime_env["env_vars"] == {"VERL_SPO_DB": url}
    given = {"runtime_env": {"working_dir": "gcs://a.zip", "env_vars": {"A": "1"}}, "metadata": {"job_name": "j"}}
    monkeypatch.setenv(name, json.dumps(given))
    within = JobConfig.from_json(json.loads(cluster.hand_on_in_secret({"VERL_SPO_DB": url})[name]))
    assert within.runtime_env["env_vars"] == {"A": "1", "VERL_SPO_DB": url}
    assert within.runtime_env["working_dir"] == "gcs://a.zip"
    assert within.metadata == {"job_name": "j"}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and one more node, on this machine; other runs here do not find it."""
    from ray.cluster_utils import Cluster

    # Sockets have short names.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False})
        started.add_node()
        yield started
        started.shutdown()


@pytest.mark.slow
def test_what_a_launch_left_on_any_node_is_ended_and_a_silent_node_is_named(
    nodes: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, MARK: "this launch"})
    other = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, MARK: "another launch"})
    with caplog.at_level(logging.WARNING, logger=cluster.__name__):
        cluster.end_everywhere("this launch", nodes.address)
        assert left.wait(timeout=60) == -signal.SIGTERM
        assert other.poll() is None
        assert caplog.messages == []

        monkeypatch.setattr(cluster, "ANSWER_S", 10.0)
        (node,) = nodes.worker_nodes
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        raylet.suspend()
        cluster.end_everywhere("another launch", nodes.address)
        raylet.resume()
        assert other.wait(timeout=60) == -signal.SIGTERM
        assert len(caplog.messages) == 1
        assert "does not answer" in caplog.messages[0]
        assert "VERL_SPO_LAUNCH=another launch" in caplog.messages[0]
    assert not psutil.pid_exists(left.pid)
