"""Make the environment of `make demo` and `make test`; run by `make venv`, with the Python that it is for.

It holds what `requirements.lock` names, this project, and what else the build of torch needs that the package index
serves: most indexes serve the CUDA build, which names libraries of its own. A failed or interrupted attempt leaves no
stamp, and the next one begins anew.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
LOCK = PROJECT / "requirements.lock"
PYTHONS = {(3, 11): "python3.11", (3, 12): "python3.12"}
LIBRARY = "libnuma.so.1"
# Room for the environment, of 4.0 or 7.0 GiB on 2026-11-25, and for pip's downloads while it installs.
GIB_WITH_CPU_TORCH, GIB_WITH_CUDA_TORCH = 6, 11
# What the processes of a run import, and the dashboard.
IMPORTS = (
    "torch",
    "vllm.entrypoints.openai.api_server",
    "vllm.v1.worker.cpu_worker",
    "verl.trainer.main_ppo",
    "verl.workers.rollout.vllm_rollout.vllm_async_server",
    "verl_spo.cli.main",
    "streamlit.web.bootstrap",
)


class Unfit(Exception):
    """This machine or this environment will not do; the message has the remedy."""


def main() -> None:
    """Make the environment, bring it up to date, or find that nothing is to be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the environment goes")
    parser.add_argument("--torch-index", default="", help="address of a package index to look for torch in as well")
    parser.add_argument("--over", type=Path, help="a second lock, whose lines go before those of the first")
    given = parser.parse_args()
    try:
        make(Environment(given.folder, given.torch_index, given.over))
    except Unfit as error:
        sys.exit(f"make venv: {error}")
    except KeyboardInterrupt:
        sys.exit("make venv: interrupted; the next `make venv` begins anew")


def make(environment: "Environment") -> None:
    """Make an environment that works, unless there is one."""
    if environment.is_current():
        return
    check_machine()
    if environment.is_usable():
        print(f"bringing {environment.folder} up to date ...", flush=True)
    else:
        begin(environment)
    environment.install()
    environment.check()
    environment.finish()


def begin(environment: "Environment") -> None:
    """Make an empty environment, where there is room for all that it needs."""
    environment.clear()
    check_space(environment.folder, GIB_WITH_CPU_TORCH)
    print(f"making {environment.folder} with Python {platform.python_version()}", flush=True)
    environment.create()
    cuda = environment.torch_names() - locked()
    if cuda:
        check_space(environment.folder, GIB_WITH_CUDA_TORCH)
    print(f"installing {len(locked())} packages and the {'CUDA' if cuda else 'CPU'} build of torch ...", flush=True)


class Environment:
    """A virtual environment, with a stamp that says what it was made from.

    Args:
        folder: Of the environment.
        torch_index: A package index to look for torch in as well; empty for none, or for that of an existing one.
        over: A second lock, for packages that the first lacks or has in another version.
    """

    def __init__(self, folder: Path, torch_index: str, over: Path | None = None) -> None:
        self.folder = folder
        self._torch_index = torch_index
        self._locked = merged(LOCK.read_text(), over.read_text() if over else "")
        self._stamp = folder / "made_from.json"
        self._log = folder / "pip.log"
        self._python = folder / "bin" / "python"
        whole = self._stamp.is_file() and self._python.exists()
        self._before = json.loads(self._stamp.read_text()) if whole else {}

    def is_current(self) -> bool:
        """Whether nothing is to be done."""
        return self._before == self._made_from()

    def is_usable(self) -> bool:
        """Whether a finished one only needs other packages."""
        return {**self._before, "packages": ""} == {**self._made_from(), "packages": ""}

    def clear(self) -> None:
        """Remove what is there.

        Raises:
            Unfit: It was made with an index that is not named again.
        """
        if self._before.get("torch_index") and not self._torch_index:
            raise Unfit(f"{self.folder} was made with TORCH_INDEX and is to be made anew: name it again")
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self) -> None:
        """Make an empty one."""
        venv.create(self.folder, symlinks=True, with_pip=True)

    def torch_names(self) -> set[str]:
        """What the build of torch needs that the index serves, as its own metadata says."""
        report = self.folder / "torch.json"
        self._pip("--dry-run", "--ignore-installed", "--no-deps", "--report", str(report), requirement("torch"))
        metadata = json.loads(report.read_text())["install"][0]["metadata"]
        return {name(line) for line in metadata.get("requires_dist", []) if "extra ==" not in line}

    def install(self) -> None:
        """Install what the locks name, then what their torch names beside it, then the project itself.

        They are complete. A resolver would add builds of torchvision and torchaudio that do not fit each torch, and
        beside which transformers does not import.
        """
        self._stamp.unlink(missing_ok=True)
        # The one that comes with Python may need twice the time.
        self._pip(requirement("pip"))
        lock = self.folder / "requirements.lock"
        lock.write_text(self._locked)
        self._pip("--no-deps", "-r", str(lock))
        self._pip(requirement("torch"), "-c", str(lock))
        self._pip("--no-deps", "--no-build-isolation", "-e", str(PROJECT))

    def check(self) -> None:
        """Import what a run imports; that also writes byte code, which pip would make of four times as many modules.

        Raises:
            Unfit: Something does not import.
        """
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(
            [self._python, "-c", "\n".join(f"import {module}" for module in IMPORTS)],
            env={**variables, "VERL_PLATFORM": "cpu"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"Python ended with status {done.returncode}"])[-1]
            raise Unfit(
                f"{self.folder} does not work: {reason}. The next `make venv` begins anew; "
                "if it ends the same way, this machine lacks what this line names"
            )

    def finish(self) -> None:
        """Stamp it: it is complete and works."""
        unfinished = self._stamp.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._made_from()) + "\n")
        unfinished.replace(self._stamp)

    def _made_from(self) -> dict[str, str]:
        # An index's address may hold a password.
        index = digest(self._torch_index.encode()) if self._torch_index else self._before.get("torch_index", "")
        return {
            "python": f"{sys.base_prefix} {platform.python_version()}",
            # An environment knows by name where it lies, and where the project lies.
            "folders": f"{self.folder.absolute()} {PROJECT}",
            "torch": requirement("torch"),
            "torch_index": index,
            "packages": digest(self._locked.encode() + (PROJECT / "pyproject.toml").read_bytes()),
        }

    def _pip(self, *arguments: str) -> None:
        """Run `pip install`, without byte code: see `check`.

        Raises:
            Unfit: pip fails.
        """
        options = ["--no-compile", "--no-input", "--disable-pip-version-check"]
        options += ["--extra-index-url", self._torch_index] if self._torch_index else []
        command = [str(self._python), "-m", "pip", "install", *options, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = list(shown(process.stdout or ()))
        self._log.write_text("\n".join(lines) + "\n")
        if process.returncode:
            errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:]
            raise Unfit(f"pip: {errors[0]}; all that it said is in {self._log}. The next `make venv` begins anew")


def check_machine() -> None:
    """Whether there are packages for this machine at all.

    Raises:
        Unfit: There are none.
    """
    system, machine, version = platform.system(), platform.machine(), platform.python_version()
    if (system, machine) != ("Linux", "x86_64"):
        raise Unfit(
            f"this is {system} on {machine}, and the packages of the lock are for Linux on x86_64: use such one"
        )
    if sys.version_info[:2] not in PYTHONS:
        there = next(filter(shutil.which, PYTHONS.values()), "python3.12")
        raise Unfit(
            f"this is Python {version}; verl 0.9 needs 3.11 or 3.12: add PYTHON={there} to the command, as in "
            f"make demo PYTHON={there}"
        )
    if importlib.util.find_spec("ensurepip") is None:
        raise Unfit(f"Python {version} has no ensurepip: apt-get install python{version.rpartition('.')[0]}-venv")
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        raise Unfit(f"vLLM needs the library {LIBRARY}: apt-get install libnuma1") from None


def check_space(folder: Path, gib: int) -> None:
    """Whether an environment of this size fits on the disk.

    Raises:
        Unfit: It does not.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free / 2**30
    if free < gib:
        raise Unfit(f"{folder} needs {gib} GiB with pip's downloads, and {free:.1f} GiB are free")


def locked() -> set[str]:
    """The names in the lock."""
    return {name(line) for line in LOCK.read_text().splitlines()}


def merged(lock: str, over: str) -> str:
    """The lines of two locks; of a package that both have, that of the second. Comments go."""
    lines = {name(line): line for line in (*lock.splitlines(), *over.splitlines())}
    return "".join(f"{line}\n" for package, line in lines.items() if package)


def requirement(wanted: str) -> str:
    """The line of the lock for a package."""
    return next(line for line in LOCK.read_text().splitlines() if name(line) == wanted)


def name(line: str) -> str:
    """The package that a requirement is about, as indexes spell it."""
    found = re.match(r"[A-Za-z0-9._-]*", line)
    return re.sub(r"[-_.]+", "-", found.group() if found else "").lower()


def digest(content: bytes) -> str:
    """16 hexadecimal digits."""
    return blake2b(content, digest_size=8).hexdigest()


def shown(lines: Iterable[str]) -> Iterator[str]:
    """Pass lines on; at a terminal the last one is seen, so that one knows that something goes on."""
    at_terminal = sys.stdout.isatty()
    for line in map(str.rstrip, lines):
        if at_terminal:
            print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        yield line
    if at_terminal:
        print("\r\033[K", end="", flush=True)


if __name__ == "__main__":
    main()
