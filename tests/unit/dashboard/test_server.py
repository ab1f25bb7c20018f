import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest

from verl_spo.errors import ConfigError, SPOError, StoreError
from verl_spo_dashboard import server

URL = "sqlite:///none.db"


@pytest.mark.slow
def test_it_answers_at_its_address_and_ends_with_the_block() -> None:
    with server.serve(URL, port=0) as running:
        assert running.address.startswith("http://127.0.0.1:")
        with urlopen(running.address) as page:
            assert page.status == 200
        assert running.process.poll() is None
    assert running.process.poll() is not None


@pytest.mark.slow
def test_it_listens_on_this_machine_alone() -> None:
    with server.serve(URL, port=0) as running:
        port = int(running.address.rpartition(":")[2])
        found = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True, check=True)
    listening = [line.split()[1] for line in found.stdout.splitlines() if f":{port:04X} " in line and " 0A " in line]
    assert listening == [f"0100007F:{port:04X}"]


def test_other_names_of_this_machine_are_refused_unless_asked_for() -> None:
    assert not any("allowedHosts" in part for part in server.command("127.0.0.1", 1))
    assert "--server.allowedHosts=*" in server.command("0.0.0.0", 1)


@pytest.mark.slow
@pytest.mark.parametrize(("host", "status"), [("localhost:9000", 101), ("rebound.example", 403)])
def test_a_page_of_another_site_cannot_read_along(host: str, status: int) -> None:
    with server.serve(URL, port=0) as running:
        connection = HTTPConnection("127.0.0.1", int(running.address.rpartition(":")[2]))
        connection.putrequest("GET", "/_stcore/stream", skip_host=True)
        headers = {"Host": host, "Origin": f"http://{host}", "Connection": "Upgrade", "Upgrade": "websocket"}
        for name, value in {**headers, "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "A" * 22 + "=="}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answered = connection.getresponse().status
        connection.close()
    assert answered == status


@pytest.mark.slow
def test_the_url_is_no_argument(tmp_path: Path) -> None:
    with server.serve("sqlite:///canary.db", port=0) as running:
        shown = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
    assert b"canary" not in shown


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: in use"), server.serve(URL, port=port):
            pass


@pytest.mark.slow
def test_without_a_port_the_first_free_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(server, "DEFAULT_PORT", taken.getsockname()[1])
        with server.serve(URL) as running:
            assert int(running.address.rpartition(":")[2]) > taken.getsockname()[1]


def test_an_address_that_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match="--host not a host: not an address"), server.serve(URL, "not a host", 0):
        pass


def test_a_port_that_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match="--port 70000: must be from 0 to 65535"), server.serve(URL, port=70_000):
        pass


def test_a_url_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(StoreError, match="must begin with"), server.serve("mysql://x/y", port=0):
        pass


def test_a_server_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "command", lambda *given: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(SPOError, match="ended with status 3"), server.serve(URL, port=0):
        pass
