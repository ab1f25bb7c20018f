"""The wheel and the sdist, installed from what the index serves into environments where there is nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import packages

LIBRARY = """
from verl_spo import SPO, SPOConfig
spo = SPO(SPOConfig(retention="event"), pool_size=64, batch_size=16)
print(spo.complete(spo.dispatch(16).uids, rewards=[0, 1] * 8).advantages.shape)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.build_wheel(packages.PROJECT, tmp_path_factory.mktemp("wheel"))


def install(wheel: Path, environment: Path, python: str = sys.executable, extra: str = "") -> Path:
    """Install the wheel into an environment, which is made if need be; returns its `bin`."""
    if not environment.exists():
        subprocess.run([python, "-m", "venv", environment], check=True)
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    subprocess.run([environment / "bin" / "pip", "install", "--quiet", wanted], check=True)
    return environment / "bin"


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel and what it requires, until a test installs an extra there."""
    return install(wheel, tmp_path_factory.mktemp("alone") / "environment")


def run(programs: Path, program: str, *arguments: str) -> str:
    """What a program of an environment prints, run far from the checkout."""
    command = [programs / program, *arguments]
    done = subprocess.run(command, cwd=programs.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_alone_it_is_a_library_and_reads_stores(alone: Path) -> None:
    assert_works_alone(alone)


@pytest.mark.parametrize("python", ["python3.12"])
def test_alone_it_works_with_another_python(wheel: Path, tmp_path: Path, python: str) -> None:
    if shutil.which(python) is None or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip(f"{python} is not installed")
    assert_works_alone(install(wheel, tmp_path / "environment", python=python))


def assert_works_alone(programs: Path) -> None:
    database = f"sqlite:///{programs.parents[1]}/store.db"
    run(programs, "verl-spo", "db", "upgrade", "--db", database)
    assert run(programs, "verl-spo", "runs", "list", "--db", database)
    assert "qwen3_8b/spo_megatron" in run(programs, "verl-spo", "recipes").split()
    assert run(programs, "python", "-c", LIBRARY) == "(16,)\n"
    assert (packages.packages_of(programs.parent) / "verl_spo" / "py.typed").exists()


def test_the_dashboard_answers(wheel: Path, alone: Path, tmp_path: Path) -> None:
    with packages.dashboard(install(wheel, alone.parent, extra="dashboard"), tmp_path) as page:
        assert b"<html" in page


def test_postgres_is_one_extra(wheel: Path, alone: Path, empty_postgres_url: str) -> None:
    programs = install(wheel, alone.parent, extra="postgres")
    run(programs, "verl-spo", "db", "upgrade", "--db", empty_postgres_url)
    assert run(programs, "verl-spo", "runs", "list", "--db", empty_postgres_url)


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    again = packages.build_wheel(packages.build_sdist(tmp_path), tmp_path)
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, int]:
    """Checksums of a wheel's files, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist()}
