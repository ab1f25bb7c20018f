"""A user's command and webhook: what they get, and what becomes of one that fails or hangs."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from verl_spo.errors import ConfigError
from verl_spo.watching import Alert, AlertName, Severity, hooks
from verl_spo.watching.watch import Event, Turn

ALERT = Alert(AlertName.STALLED, Severity.CRITICAL, 12, "Step 12 ended long ago.", "Look.")
EVENT = Event(Turn.BEGAN, "math/spo", 12, 1e9, ALERT)
HOSTILE = replace(EVENT, run="$(touch caught); `x` \0 \ud800", alert=replace(ALERT, since_step=None))


class Server(ThreadingHTTPServer):
    """Takes what is posted, and answers as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = 200
        self.let_go = threading.Event()
        self.let_go.set()
        self.posted: list[tuple[str, str | None, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/s3cret"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.server.let_go.wait(60)
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


def python(script: str) -> str:
    return f"{sys.executable} -c '{script}'"


def test_a_command_gets_the_event_on_stdin_and_in_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = (
        "import json, os, sys; "
        'got = {n: v for n, v in os.environ.items() if n.startswith("VERL_SPO_ALERT_")}; '
        'json.dump([sys.argv[1:], json.load(sys.stdin), got], open("got", "w"))'
    )
    assert hooks.command(f"{python(script)} 'two words' '*'")(EVENT) is None
    arguments, event, variables = json.loads(Path("got").read_text())
    assert arguments == ["two words", "*"]
    assert event == json.loads(json.dumps(EVENT.to_dict()))
    assert variables == {
        "VERL_SPO_ALERT_EVENT": "began",
        "VERL_SPO_ALERT_RUN": "math/spo",
        "VERL_SPO_ALERT_STEP": "12",
        "VERL_SPO_ALERT_ALERT": "stalled",
        "VERL_SPO_ALERT_SEVERITY": "critical",
        "VERL_SPO_ALERT_SINCE_STEP": "12",
        "VERL_SPO_ALERT_TEXT": "math/spo: critical stalled since step 12: Step 12 ended long ago. Look.",
    }


def test_what_a_run_is_called_is_run_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hooks.command(python('open("got", "w")'))(HOSTILE) is None
    assert os.listdir() == ["got"]


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        (python("raise SystemExit(3)"), "ended with status 3"),
        ("/no/such/program", "cannot be started"),
        (python("import os; os.abort()"), "ended with status -6"),
    ],
)
def test_a_command_that_fails_is_reported(line: str, trouble: str) -> None:
    assert trouble in (hooks.command(line)(EVENT) or "")


def test_a_command_that_reads_nothing_does_no_harm() -> None:
    assert hooks.command(python("pass"))(replace(EVENT, run="x" * 10**5)) is None


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    started = tmp_path / "child"
    script = (
        "import subprocess, sys; "
        'child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]); '
        f'open("{started}", "w").write(str(child.pid)); child.wait()'
    )
    trouble = hooks.command(python(script), timeout_s=3.0)(EVENT)
    assert "had not ended after 3 s, and was killed" in (trouble or "")
    child = int(started.read_text())
    deadline = time.monotonic() + 30
    while _lives(child):
        assert time.monotonic() < deadline


def _lives(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_webhook_gets_the_event_as_json(server: Server) -> None:
    assert hooks.webhook(server.address)(EVENT) is None
    assert server.posted == [("/hooks/s3cret", "application/json", json.loads(json.dumps(EVENT.to_dict())))]
    assert hooks.webhook(server.address)(HOSTILE) is None


def test_a_webhook_that_refuses_is_reported_without_its_secret(server: Server) -> None:
    server.answer = 500
    assert hooks.webhook(server.address)(EVENT) == "--webhook 127.0.0.1: answered 500"


def test_a_webhook_that_hangs_is_given_up(server: Server) -> None:
    server.let_go.clear()
    assert "timed out" in (hooks.webhook(server.address, timeout_s=0.5)(EVENT) or "")


def test_a_webhook_that_nobody_serves_is_reported_without_its_secret(server: Server) -> None:
    address = server.address
    server.server_close()
    trouble = hooks.webhook(address)(EVENT) or ""
    assert trouble.startswith("--webhook 127.0.0.1: ")
    assert "s3cret" not in trouble


@pytest.mark.parametrize("address", ["", "file:///etc/passwd", "ftp://host/s3cret", "https:///s3cret", "host/s3cret"])
def test_what_is_no_address_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(ConfigError, match="--webhook: must be an address such as https://host/path") as refused:
        hooks.webhook(address)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("address", ["https://host/s3cret path", "https://host/s3cret/ä", "https://host/s3cret\n"])
def test_an_address_with_characters_that_none_has_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(ConfigError, match="--webhook: has characters that no address has") as refused:
        hooks.webhook(address)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "message"), [("", "is empty"), ("  ", "is empty"), ("say 'x", "No closing quotation")]
)
def test_what_is_no_command_is_refused(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--command.*{message}"):
        hooks.command(line)
