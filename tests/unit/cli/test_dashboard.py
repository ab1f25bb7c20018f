import os
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_the_command_prints_its_address_and_takes_the_server_with_it(tmp_path: Path) -> None:
    output = tmp_path / "output"
    command = [sys.executable, "-m", "verl_spo", "dashboard", "--port", "0", "--db", "postgresql://me:s3cret@h/d"]
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, "COLUMNS": "40"})
    try:
        wait_until(lambda: "http://127.0.0.1:" in output.read_text() or process.poll() is not None, timeout=120)
        address = output.read_text().partition("http://")[2].split()[0]
        with urlopen(f"http://{address}") as page:
            assert page.status == 200
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 128 + 15
    assert "s3cret" not in output.read_text()
    with pytest.raises(URLError, match="refused"):
        urlopen(f"http://{address}")
