"""Every check of a recipe that needs no accelerator, all of them, whatever fails."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from omegaconf import DictConfig

from verl_spo.errors import SPOError
from verl_spo.launching import compose, nodes
from verl_spo.training import preflight, verl_options
from verl_spo.training.preflight import Check

Status = Literal["ok", "fails", "not checked"]


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Attributes:
        subject: What was looked at.
        status: How it ended.
        detail: What is wrong and what would be right, or why it was not checked.
    """

    subject: str
    status: Status
    detail: str = ""


def examine(recipe: str, overrides: Sequence[str]) -> Iterator[Finding]:
    """Check a recipe. What several checks stumble over is found once."""
    composed: list[DictConfig] = []
    yield look("composition", lambda: composed.append(compose.load(recipe, overrides)))
    said = set()
    for each in checks(composed[0]) if composed else ():
        found = look(each.subject, each.run)
        if found.status == "ok" or found.detail not in said:
            yield found
        said.add(found.detail)


def look(subject: str, run: Callable[[], str | None]) -> Finding:
    """Make a check."""
    try:
        skipped = run()
    except SPOError as error:
        return Finding(subject, "fails", str(error))
    return Finding(subject, "not checked", skipped) if skipped else Finding(subject, "ok")


def checks(config: DictConfig) -> list[Check]:
    """All that are made of a recipe; those of SPO only if its own options can be read."""
    with_spo = verl_options.is_spo(config)
    group = Check("the group spo", partial(_parse, config))
    readable = with_spo and look(group.subject, group.run).status == "ok"
    return [
        *([group] if with_spo else []),
        *(preflight.cheap(config, with_spo=readable)),
        *preflight.thorough(config),
        Check("nodes of the cluster", partial(nodes.check, config)),
    ]


def _parse(config: DictConfig) -> None:
    verl_options.spo_config(config)
