"""How a run ended, in words: for who started it, and for the store."""

import os
import signal
from dataclasses import dataclass

from omegaconf import DictConfig

from verl_spo.launching import failures
from verl_spo.launching.log import Log
from verl_spo.launching.processes import Exit
from verl_spo.store.database.urls import HIDDEN, parse, scrub, secrets_in
from verl_spo.training import provenance, verl_options

_LAST_LINES = 20


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        status: Exit status: 0 if it was trained to its end, 128 + the number of the signal that stopped it, or
            another one if it failed.
        message: What to tell people, on a few lines; empty at a good end.
        error: What the store keeps, if it failed: the message, and the end of verl's output.
    """

    status: int
    message: str = ""
    error: str | None = None


def of(exited: Exit, config: DictConfig, log: Log) -> Ended:
    """What an exit means."""
    if exited.signal:
        return Ended(128 + exited.signal, _stopped(exited.signal, config))
    if exited.status == 0:
        return Ended(0)
    output = _hide(log.text(), config)
    error = failures.find(output) or f"verl ended with status {exited.status}, and its output shows no error"
    place = f"{provenance.host()}:{log.path}"
    end = failures.last_lines(output, _LAST_LINES)
    return Ended(
        exited.status,
        f"training failed: {error}\nverl's output: {log.path}",
        f"{error}\n\nThe last lines of {place}:\n{end}",
    )


def _stopped(number: int, config: DictConfig) -> str:
    folder = verl_options.checkpoint_folder(config)
    return f"stopped by {signal.Signals(number).name}; the same command goes on from {folder or 'the beginning'}"


def _hide(text: str, config: DictConfig) -> str:
    """Without the secrets of the configuration and of the environment, and without the passwords of URLs."""
    for secret in secrets_in(verl_options.plain(config)) | secrets_in(dict(os.environ)):
        text = text.replace(secret, HIDDEN)
    return scrub(text, parse(verl_options.spo_config(config).store.url))
