"""The package as it is published, and environments that have it from there."""

import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

PROJECT = Path(__file__).parents[2]


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a checkout or of an sdist; nothing is asked of the index."""
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = folder.glob("verl_spo-*.whl")
    return wheel


def build_sdist(folder: Path) -> Path:
    """The sdist of the checkout."""
    build = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder))
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (sdist,) = folder.glob("verl_spo-*.tar.gz")
    return sdist


def packages_of(environment: Path) -> Path:
    """The folder of an environment's packages."""
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def environment_with_ours(folder: Path) -> Path:
    """An environment that has nothing itself, and finds every package that this one has."""
    venv.create(folder, with_pip=True)
    (packages_of(folder) / "required.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@contextmanager
def dashboard(programs: Path, folder: Path) -> Iterator[bytes]:
    """The first page of a dashboard that `verl-spo` of an environment serves."""
    command = [programs / "verl-spo", "dashboard", "--port", "0", "--db", f"sqlite:///{folder}/store.db"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address
            yield urlopen(address.group(), timeout=60).read()
        finally:
            server.terminate()
