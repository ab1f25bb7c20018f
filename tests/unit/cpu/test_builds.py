"""Builds of torch and torchvision that do and do not go together."""

import pytest

from verl_spo.cpu import builds
from verl_spo.errors import PluginError


@pytest.mark.parametrize(
    ("torch", "torchvision"), [("2.13.0+cpu", "0.28.0+cpu"), ("2.13.0", "0.28.0"), ("2.13.0+cpu", ""), ("", "")]
)
def test_builds_of_one_kind_pass(torch: str, torchvision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "installed", {"torch": torch, "torchvision": torchvision}.__getitem__)
    builds.check()


@pytest.mark.parametrize("torchvision", ["0.28.0", "0.28.0+cu130"])
def test_a_cuda_build_beside_a_cpu_build_is_named_with_the_remedy(
    torchvision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "installed", {"torch": "2.13.0+cpu", "torchvision": torchvision}.__getitem__)
    with pytest.raises(PluginError, match=f"torchvision {torchvision.replace('+', '.')} .*pip uninstall torchvision"):
        builds.check()


def test_what_is_not_installed_has_no_version() -> None:
    assert builds.installed("no-such-distribution") == ""
    assert builds.installed("torch")
