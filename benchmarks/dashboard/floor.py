"""A server of a page that has next to nothing: what no page can be faster than on this machine."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verl_spo_dashboard.server import running

APP = Path(__file__).with_name("floor_app.py")
_OPTIONS = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "runner.magicEnabled": "false",
    "runner.postScriptGC": "false",
}


@contextmanager
def floor() -> Iterator[str]:
    """Its address, until the block is left."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = {**_OPTIONS, "server.address": "127.0.0.1", "server.port": port}
    arguments = [sys.executable, "-m", "streamlit", "run", str(APP), *(f"--{k}={v}" for k, v in options.items())]
    address = f"http://127.0.0.1:{port}"
    with running(arguments, address, os.environ):
        yield address
