"""Start the server of the pages, know when and where it answers, and end it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from verl_spo.errors import ConfigError, SPOError
from verl_spo.store.database.urls import VARIABLE, parse, resolved
from verl_spo_dashboard import auth
from verl_spo_dashboard.auth import LOOPBACK, Auth

APP = Path(__file__).with_name("app.py")
GUARDED = Path(__file__).with_name("guarded.py")
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8501
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 15.0

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_PORTS_TRIED = 50
_LAST_PORT = 65_535


@dataclass(frozen=True)
class Server:
    """A running server of the pages.

    Attributes:
        address: Where a browser on this machine finds it; with a login, where the provider sends readers back to.
    """

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Return its exit status once it has ended."""
        return self.process.wait()


@contextmanager
def serve(url: str, host: str = DEFAULT_HOST, port: int | None = None, rules: Auth | None = None) -> Iterator[Server]:
    """Serve the pages of a database in a process of its own, from when they answer until the block is left.

    Args:
        url: Of the database. It need not exist yet: the pages say so until it does.
        host: Address to listen on. Others than this machine can read everything unless it is a loopback address.
        port: To listen on; 0 is any free one, None the one that readers are sent back to after their login, or the
            first free one from 8501.
        rules: How readers log in; None if everybody may read.

    Raises:
        StoreError: The URL is not one of a database.
        ConfigError: The port is taken, or the address is not this machine's.
        SPOError: The server ended, or did not answer in time.
    """
    parse(url)
    if port is not None and not 0 <= port <= _LAST_PORT:
        raise ConfigError(f"--port {port}: must be from 0 to {_LAST_PORT}")
    port = _free_port(host, rules.port if rules and port is None else port)
    # Not as an argument: the list of processes shows those to everybody, and a URL may hold a password.
    environment = {**os.environ, VARIABLE: resolved(url), auth.VARIABLE: str(rules.path) if rules else ""}
    address = _address(_ANY_HOST.get(host, host), port)
    with running(command(host, port, rules), address, environment) as process:
        yield Server(rules.origin(port) if rules else address, process)


@contextmanager
def running(arguments: list[str], address: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server of Streamlit's, from when it answers until the block is left.

    Raises:
        SPOError: It ended, or did not answer in time.
    """
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until_healthy(process, address)
        yield process
    finally:
        _end(process)


def command(host: str, port: int, rules: Auth | None = None) -> list[str]:
    """The server's program and arguments; what is the same for everybody stands in `.streamlit/config.toml`."""
    arguments = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(GUARDED if rules else APP),
        f"--server.address={host}",
        f"--server.port={port}",
    ]
    if rules:
        # Only this file: one of the user's own for other apps may lie where Streamlit looks by default.
        arguments.append(f"--secrets.files={rules.path}")
    if host not in LOOPBACK:
        # By which names others reach this machine is not known here.
        arguments.append("--server.allowedHosts=*")
    return arguments


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port(host: str, port: int | None) -> int:
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if port is None else [port]
    for candidate in candidates:
        found = _bindable(host, candidate)
        if found is not None:
            return found
    shown = candidates[0] if len(candidates) == 1 else f"{candidates[0]} to {candidates[-1]}"
    raise ConfigError(f"--port {shown}: in use; name another one, or 0 for any that is free")


def _bindable(host: str, port: int) -> int | None:
    """The port if it can be listened on (which one, if it is 0), else None."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"--host {host}: not an address of this machine ({error})") from None
    with socket.socket(family, kind, protocol) as listener:
        # As the server itself does: a port whose last connections are only just closed is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            return None
        return int(listener.getsockname()[1])


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _is_healthy(address):
        if process.poll() is not None:
            raise SPOError(f"dashboard: its server ended with status {process.returncode} before it answered")
        if time.monotonic() > deadline:
            raise SPOError(f"dashboard: {address} did not answer within {START_TIMEOUT_S:.0f} s")
        time.sleep(0.05)


def _is_healthy(address: str) -> bool:
    try:
        with urlopen(f"{address}/_stcore/health", timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
