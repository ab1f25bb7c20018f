"""Who hears of an alert besides the terminal: a command and a webhook of the user's.

One that fails is reported and ends nothing. A webhook's address is a secret, of which messages show the host alone.
"""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from verl_spo.errors import ConfigError
from verl_spo.store.text import clean
from verl_spo.watching.watch import Event

COMMAND_TIMEOUT_S = 60.0
WEBHOOK_TIMEOUT_S = 10.0

_STDERR = 2

Hook = Callable[[Event], str | None]
"""Tells of an event; what went wrong in doing so, or None."""


def command(line: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Hook:
    """A program that is started for each event: no shell, the event as JSON on its stdin and in variables.

    Raises:
        ConfigError: The line is empty or not written as shells want it.
    """
    arguments = _arguments(line)

    def tell(event: Event) -> str | None:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                # What this one prints may be for programs.
                stdout=_STDERR,
                env={**os.environ, **_variables(event)},
                start_new_session=True,
            )
        except OSError as error:
            return f"--command {line}: cannot be started: {error}"
        try:
            process.communicate(json.dumps(event.to_dict()).encode(), timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"--command {line}: had not ended after {timeout_s:g} s, and was killed"
        return f"--command {line}: ended with status {process.returncode}" if process.returncode else None

    return tell


def webhook(address: str, timeout_s: float = WEBHOOK_TIMEOUT_S) -> Hook:
    """A server that gets each event as JSON by POST.

    Raises:
        ConfigError: The address is not one of a web server.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("--webhook: must be an address such as https://host/path")
    if not address.isascii() or not address.isprintable() or " " in address:
        raise ConfigError("--webhook: has characters that no address has; write them as %20 and the like")

    def tell(event: Event) -> str | None:
        body = json.dumps(event.to_dict()).encode()
        request = Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urlopen(request, timeout=timeout_s):  # noqa: S310
                return None
        except HTTPError as error:
            return f"--webhook {parts.hostname}: answered {error.code}"
        except (OSError, HTTPException) as error:
            return f"--webhook {parts.hostname}: {error}"

    return tell


def _arguments(line: str) -> list[str]:
    try:
        arguments = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"--command {line}: {error}; quote it as in a shell") from None
    if not arguments:
        raise ConfigError("--command: is empty; name a program")
    return arguments


def _variables(event: Event) -> dict[str, str]:
    """What a short script needs of an event."""
    alert = event.alert
    values = {
        "EVENT": event.turn,
        "RUN": event.run,
        "STEP": str(event.step),
        "ALERT": alert.name,
        "SEVERITY": alert.severity,
        "SINCE_STEP": "" if alert.since_step is None else str(alert.since_step),
        "TEXT": event.text,
    }
    return {f"VERL_SPO_ALERT_{name}": clean(value) for name, value in values.items()}
