"""Code that models write goes to the user's sandbox, and what it prints comes back."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from verl_spo.tools import sandbox_fusion


class Sandbox(BaseHTTPRequestHandler):
    """Stands in for SandboxFusion: answers as it is told, and notes what it was asked."""

    answer: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Sandbox]]:
    server = HTTPServer(("127.0.0.1", 0), Sandbox)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(sandbox_fusion.SANDBOX_ADDRESS, f"http://127.0.0.1:{server.server_port}/run_code")
    Sandbox.asked.clear()
    yield Sandbox
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("result", "seen"),
    [
        ({"status": "Finished", "stdout": "42\n", "stderr": ""}, "42"),
        ({"status": "Finished", "stdout": "1\n", "stderr": "ValueError: x"}, "1\nValueError: x"),
        ({"status": "Finished", "stdout": None, "stderr": None}, "(nothing was printed)"),
        ({"status": "TimeLimitExceeded", "stdout": "1\n", "stderr": ""}, "1\n\nstopped after 30 s"),
    ],
)
def test_a_model_sees_what_its_program_prints(sandbox: type[Sandbox], result: dict[str, Any], seen: str) -> None:
    Sandbox.answer = {"status": "Success", "run_result": result}
    assert sandbox_fusion.code_interpreter("print(6 * 7)") == seen
    assert sandbox.asked[0]["code"] == "print(6 * 7)"
    assert sandbox.asked[0]["language"] == "python"


def test_a_sandbox_that_is_not_there_is_told_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sandbox_fusion.SANDBOX_ADDRESS, "http://127.0.0.1:9/run_code")
    assert sandbox_fusion.code_interpreter("print(1)").startswith("The sandbox did not answer: ")
