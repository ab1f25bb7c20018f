"""Manifests for Kubernetes and tasks for SkyPilot: YAML of the right shape, in which no secret stands."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import configured
from verl_spo.errors import ConfigError
from verl_spo.launching import compose
from verl_spo.launching.targets import job, volumes
from verl_spo.launching.targets.job import Job
from verl_spo.launching.targets.kubernetes import RayJobManifest
from verl_spo.launching.targets.skypilot import SkyPilotTask
from verl_spo.launching.targets.volumes import Volume

pytestmark = pytest.mark.slow

OVERRIDES = ["trainer.nnodes=3", "spo.store.url=env:VERL_SPO_DB", "demo_dir='/data/a \"b\"'"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Job:
    """A run on three nodes of eight GPUs, with two secrets."""
    monkeypatch.setenv("VERL_SPO_DB", "postgresql://me:s3cret@db/spo")
    monkeypatch.setenv("HF_TOKEN", "s3cret too")
    return replace(job.of(configured.RECIPE, OVERRIDES, ["HF_TOKEN"]), gpus_per_node=8)


@pytest.fixture
def own(tmp_path: Path, made: Job) -> Job:
    """The same as a recipe of the user's."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults: [cpu/arithmetic_spo, _self_]\n")
    return replace(job.of(str(recipe), OVERRIDES, ["HF_TOKEN"]), gpus_per_node=8)


def documents(text: str) -> list[Any]:
    assert "s3cret" not in text
    return list(yaml.safe_load_all(text))


def containers(manifest: Any) -> list[Any]:
    cluster = manifest["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_a_ray_job_has_a_head_and_workers_with_accelerators_secrets_and_storage(made: Job) -> None:
    (manifest,) = documents(RayJobManifest("registry/spo:1", (Volume("claim", "/data"),)).show(made))
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert manifest["metadata"]["name"] == "arithmetic-spo"
    spec = manifest["spec"]
    assert spec["entrypoint"] == f"exec {made.command()}"
    assert set(yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]) == {
        "RAY_JOB_STOP_WAIT_TIME_S",
        "RAY_OVERRIDE_JOB_RUNTIME_ENV",
    }
    assert [group["replicas"] for group in spec["rayClusterSpec"]["workerGroupSpecs"]] == [2]
    both = containers(manifest)
    assert len(both) == 2
    for container in both:
        assert container["image"] == "registry/spo:1"
        assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
        assert container["env"] == [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": "verl-spo", "key": name}}}
            for name in ("VERL_SPO_DB", "HF_TOKEN")
        ]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/dev/shm", "/data"}
    pod = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert {"name": "volume-1", "persistentVolumeClaim": {"claimName": "claim"}} in pod["volumes"]


def test_one_node_has_no_workers(made: Job) -> None:
    (manifest,) = documents(RayJobManifest("spo:1").show(replace(made, nodes=1, gpus_per_node=0, variables=[])))
    assert "workerGroupSpecs" not in manifest["spec"]["rayClusterSpec"]
    assert not {"env", "resources"} & set(containers(manifest)[0])


def test_a_recipe_of_the_users_is_in_the_manifest(own: Job, tmp_path: Path) -> None:
    manifest, config_map = documents(RayJobManifest("spo:1").show(own))
    assert manifest["spec"]["entrypoint"] == "exec verl-spo train /etc/verl-spo/recipe.yaml"
    assert config_map["kind"] == "ConfigMap"
    head = manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert {"name": "recipe", "configMap": {"name": config_map["metadata"]["name"]}} in head["volumes"]
    there = tmp_path / "recipe.yaml"
    there.write_text(config_map["data"]["recipe.yaml"])
    assert compose.load(str(there), []) == own.config


def test_a_task_names_machines_secrets_and_buckets(made: Job) -> None:
    (task,) = documents(SkyPilotTask("H100", "spo:1", (Volume("s3://bucket", "/data"),)).show(made))
    assert (task["name"], task["num_nodes"]) == ("arithmetic-spo", 3)
    assert task["resources"] == {"accelerators": "H100:8", "image_id": "docker:spo:1"}
    assert task["secrets"] == {"VERL_SPO_DB": None, "HF_TOKEN": None}
    assert task["file_mounts"] == {"/data": {"source": "s3://bucket", "mode": "MOUNT"}}
    assert task["run"].splitlines()[-1] == made.command()


@pytest.mark.parametrize("nodes", [1, 3])
def test_what_a_task_runs_is_good_shell(nodes: int, own: Job, tmp_path: Path) -> None:
    (task,) = documents(SkyPilotTask("H100").show(replace(own, nodes=nodes)))
    for part in ("setup", "run"):
        subprocess.run(["bash", "-n"], input=task[part], text=True, check=True)
    # The first command writes the recipe.
    subprocess.run(["bash", "-c", task["run"][: task["run"].index("\nEND OF RECIPE") + 15]], cwd=tmp_path, check=True)
    assert compose.load(str(tmp_path / "recipe.yaml"), []) == own.config


def test_what_is_missing_is_said(made: Job) -> None:
    with pytest.raises(ConfigError, match="--k8s: wants --image"):
        RayJobManifest(None).show(made)
    with pytest.raises(ConfigError, match="--skypilot: wants --accelerator"):
        SkyPilotTask(None).show(made)
    assert documents(SkyPilotTask(None).show(replace(made, gpus_per_node=0)))[0]["resources"] == {"cpus": "8+"}


@pytest.mark.parametrize(
    ("text", "volume"),
    [("claim:/data", Volume("claim", "/data")), ("s3://bucket/a:/data", Volume("s3://bucket/a", "/data"))],
)
def test_a_volume_is_a_source_and_a_path(text: str, volume: Volume) -> None:
    assert volumes.parse(text) == volume


@pytest.mark.parametrize("text", ["claim", "claim:data", ":/data", "s3://bucket"])
def test_what_is_no_volume_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be SOURCE:PATH"):
        volumes.parse(text)
