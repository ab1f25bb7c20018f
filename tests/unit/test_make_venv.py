"""`make venv` on machines of every kind, with an index of four tiny packages."""

import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from ensurepip import version as pip_version
from pathlib import Path
from types import SimpleNamespace

import pytest

import make_venv
from make_venv import Environment, Unfit, make

CUDA_LIBRARY = "nvidia-lib"
TORCH = {"2.13.0": [f"{CUDA_LIBRARY}>=1"], "2.13.0+cpu": []}
# Of the test's project: writes an editable wheel without any package.
BACKEND = """
import zipfile
INFO = {
    "METADATA": "Metadata-Version: 2.1\\nName: project\\nVersion: 1\\n",
    "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "RECORD": "",
}
def build_editable(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/project-1-py3-none-any.whl", "w") as wheel:
        for name, text in INFO.items():
            wheel.writestr(f"project-1.dist-info/{name}", text)
    return "project-1-py3-none-any.whl"
"""


def publish(index: Path, name: str, version: str, requires: list[str], code: str = "") -> None:
    """Put a package of one module into an index."""
    module, folder = name.replace("-", "_"), index / name
    folder.mkdir(parents=True, exist_ok=True)
    info, requirements = f"{module}-{version}.dist-info", "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", code)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    links = (f'<a href="{path.name.replace("+", "%2B")}">{path.name}</a>' for path in folder.glob("*.whl"))
    (folder / "index.html").write_text("\n".join(links))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index of the world: it serves the CUDA build of torch."""
    index = tmp_path / "index"
    publish(index, "torch", "2.13.0", TORCH["2.13.0"], code=f"import {CUDA_LIBRARY.replace('-', '_')}")
    publish(index, CUDA_LIBRARY, "1.0", [])
    publish(index, "left", "1.0", ["never-installed"])
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.as_uri())
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return index


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that needs little."""
    project = tmp_path / "project"
    project.mkdir()
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (project / "pyproject.toml").write_text(build)
    (project / "backend.py").write_text(BACKEND)
    lock = project / "requirements.lock"
    lock.write_text(f"left==1.0\npip=={pip_version()}\ntorch==2.13.0\n")
    monkeypatch.setattr(make_venv, "PROJECT", project)
    monkeypatch.setattr(make_venv, "LOCK", lock)
    monkeypatch.setattr(make_venv, "IMPORTS", ("torch", "left"))
    return lock


@pytest.fixture
def folder(tmp_path: Path, index: Path, lock: Path) -> Path:
    """Where the environment goes."""
    return tmp_path / "venv"


def interrupt(environment: Environment) -> None:
    raise KeyboardInterrupt


def installed(folder: Path) -> set[str]:
    listed = subprocess.run([folder / "bin" / "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    return {package["name"] for package in json.loads(listed)} - {"pip", "setuptools"}


@pytest.mark.slow
def test_what_the_cuda_build_names_comes_with_it(folder: Path) -> None:
    make(Environment(folder, ""))
    assert installed(folder) == {"torch", "left", "project", CUDA_LIBRARY}


@pytest.mark.slow
def test_a_cpu_build_is_taken_from_the_index_that_the_user_names(folder: Path, tmp_path: Path) -> None:
    publish(tmp_path / "cpu", "torch", "2.13.0+cpu", TORCH["2.13.0+cpu"])
    make(Environment(folder, (tmp_path / "cpu").as_uri()))
    assert installed(folder) == {"torch", "left", "project"}
    # Without the option again, it stays as it is.
    assert Environment(folder, "").is_current()
    assert not Environment(folder, (tmp_path / "other").as_uri()).is_current()


@pytest.mark.slow
def test_what_was_broken_off_is_made_anew(folder: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lock.read_text()
    lock.write_text(f"absent==1.0\n{whole}")
    with pytest.raises(Unfit, match=r"pip: ERROR: .*absent==1\.0.*begins anew"):
        make(Environment(folder, ""))
    lock.write_text(whole)
    (folder / "half-written").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Environment, "check", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(Environment(folder, ""))
    assert not (folder / "half-written").exists()
    assert not Environment(folder, "").is_current()
    make(Environment(folder, ""))
    assert Environment(folder, "").is_current()


@pytest.mark.slow
def test_a_finished_environment_is_brought_up_to_date(folder: Path, index: Path, lock: Path) -> None:
    make(Environment(folder, ""))
    (folder / "kept").touch()
    publish(index, "right", "1.0", [])
    lock.write_text(f"{lock.read_text()}right==1.0\n")
    make(Environment(folder, ""))
    assert "right" in installed(folder)
    assert (folder / "kept").exists()


@pytest.mark.slow
def test_lines_of_a_second_lock_go_before_those_of_the_first(folder: Path, index: Path, lock: Path) -> None:
    publish(index, "left", "2.0", [])
    publish(index, "right", "1.0", [])
    over = lock.with_name("over.lock")
    over.write_text("# Newer.\nleft==2.0\nright==1.0\n")
    make(Environment(folder, "", over))
    assert installed(folder) == {"torch", "left", "right", "project", CUDA_LIBRARY}
    asked = [folder / "bin" / "pip", "show", "left"]
    assert "Version: 2.0" in subprocess.run(asked, capture_output=True, check=True, text=True).stdout
    assert Environment(folder, "", over).is_current()
    assert not Environment(folder, "").is_current()


@pytest.mark.slow
def test_an_environment_that_does_not_work_says_why(folder: Path, index: Path) -> None:
    publish(index, "left", "1.0", [], code="raise OSError('libnothing.so.1: cannot open shared object file')")
    with pytest.raises(Unfit, match=r"does not work: OSError: libnothing\.so\.1: cannot open"):
        make(Environment(folder, ""))
    assert not Environment(folder, "").is_current()


OTHER_MACHINES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "arm64": (lambda patch: patch.setattr(platform, "machine", lambda: "aarch64"), "Linux on aarch64"),
    "macOS": (lambda patch: patch.setattr(platform, "system", lambda: "Darwin"), "Darwin on x86_64"),
    "too new": (lambda patch: patch.setattr(sys, "version_info", (3, 13, 0)), "3.11 or 3.12: add PYTHON="),
    "no ensurepip": (
        lambda patch: patch.setattr(make_venv.importlib.util, "find_spec", lambda name: None),
        "apt-get install python3",
    ),
    "no libnuma": (lambda patch: patch.setattr(make_venv, "LIBRARY", "libabsent.so.1"), "apt-get install libnuma1"),
}


@pytest.mark.parametrize("kind", OTHER_MACHINES)
def test_another_machine_gets_one_line_and_nothing_is_made(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = OTHER_MACHINES[kind]
    change(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["make_venv.py", str(tmp_path / "venv")])
    with pytest.raises(SystemExit) as ended:
        make_venv.main()
    assert said in str(ended.value)
    assert "\n" not in str(ended.value)
    assert not (tmp_path / "venv").exists()


def test_an_old_python_gets_one_line_too() -> None:
    """Makefile asks before the script is read; here of a Python that is made to look old."""
    recipe = (make_venv.PROJECT / "Makefile").read_text()
    code = recipe.partition('"$(PYTHON)" -c \'')[2].partition("'\n")[0]
    old = code.replace("import sys;", "import sys; sys.version_info = (3, 8, 2);")
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr == "make venv: Python 3.11 or 3.12 is needed, this is 3.8: add PYTHON=python3.12 to the command\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("free", "needed"), [(3, 6), (8, 11)], ids=["any build", "the CUDA build"])
def test_a_full_disk_is_found_before_the_download(
    free: int, needed: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free * 2**30))
    monkeypatch.setattr(Environment, "install", lambda environment: pytest.fail("was installed"))
    with pytest.raises(Unfit, match=rf"needs {needed} GiB with pip's downloads, and {free}\.0 GiB are free"):
        make(Environment(folder, ""))
