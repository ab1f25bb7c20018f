import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from verl_spo.errors import ConfigError
from verl_spo_dashboard import auth, guarded, server
from verl_spo_dashboard.auth import Auth

SHARED = {"redirect_uri": "http://localhost:8501/oauth2callback", "cookie_secret": "c" * 32}
PROVIDER = {"client_id": "me", "client_secret": "s3cret", "server_metadata_url": "https://id.example.org/x"}
ADA = {"is_logged_in": True, "email": "Ada@Example.org", "email_verified": True}


def toml(values: dict[str, str]) -> str:
    return "".join(f'{name} = "{value}"\n' for name, value in values.items())


def write(folder: Path, *parts: str, mode: int = 0o600, name: str = "auth.toml") -> Path:
    path = folder / name
    path.write_text("\n".join(parts))
    path.chmod(mode)
    return path


def whole(**changed: str) -> str:
    return "[auth]\n" + toml({**SHARED, **PROVIDER, **changed})


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, whole(), 'allowed = ["Ada@Example.org", "@example.com"]')
    expected = Auth(path, SHARED["redirect_uri"], [""], ["ada@example.org", "example.com"])
    assert auth.read(path) == expected
    assert expected.origin(9) == "http://localhost:8501"
    assert expected.port == 8501


def test_providers_may_have_names(tmp_path: Path) -> None:
    sections = [f"[auth.{name}]\n{toml(PROVIDER)}" for name in ("okta", "google")]
    assert auth.read(write(tmp_path, "[auth]\n" + toml(SHARED), *sections)).providers == ["okta", "google"]
    kwargs = 'client_kwargs = {prompt = "login"}\n'
    assert auth.read(write(tmp_path, whole(), kwargs, *sections)).providers == ["", "okta", "google"]


@pytest.mark.parametrize(
    ("uri", "origin", "port"),
    [
        ("http://localhost:{port}/oauth2callback", "http://localhost:9", None),
        ("https://spo.example.org/oauth2callback", "https://spo.example.org", None),
        ("https://spo.example.org:444/base/oauth2callback", "https://spo.example.org:444", None),
    ],
)
def test_where_readers_are_sent_back_to(uri: str, origin: str, port: int | None) -> None:
    rules = Auth(Path("a.toml"), uri, [""])
    assert (rules.origin(9), rules.port) == (origin, port)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o601])
def test_a_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=rf"auth.toml: others may read or change it \(mode {mode:04o}\).*chmod 600"):
        auth.read(write(tmp_path, whole(), mode=mode))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440])
def test_a_file_of_the_owner_or_of_a_groups_is_taken(tmp_path: Path, mode: int) -> None:
    assert auth.read(write(tmp_path, whole(), mode=mode)).providers == [""]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("x", "not TOML"),
        ("[other]", r"has no section \[auth\]"),
        ("[auth]", r"\[auth\] lacks redirect_uri, cookie_secret"),
        ("[auth]\n" + toml(SHARED), r"\[auth\] lacks client_id, client_secret, server_metadata_url"),
        (whole(client_secret=""), r"\[auth\] lacks client_secret"),
        (
            "[auth]\n" + toml(SHARED) + '[auth.okta]\nclient_id = "x"',
            r"\[auth.okta\] lacks client_secret, server_metad",
        ),
        ("[auth]\n" + toml(SHARED) + "[auth.a_b]\n" + toml(PROVIDER), r"\[auth.a_b\].*no underscore"),
        (whole(redirect_uri="http://localhost:8501/"), "redirect_uri must be .*/oauth2callback"),
        (whole(redirect_uri="localhost:8501/oauth2callback"), "redirect_uri must be .*/oauth2callback"),
        (whole(cookie_secret="short"), "cookie_secret must have 32 characters"),
        (whole() + 'allowed = "example.org"', "allowed must list addresses or domains"),
        (whole() + "allowed = []", "allowed must list addresses or domains"),
        (whole() + 'allowed = [""]', "allowed must list addresses or domains"),
    ],
)
def test_what_is_missing_or_wrong_is_named_without_a_secret(tmp_path: Path, content: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as raised:
        auth.read(write(tmp_path, content))
    assert "s3cret" not in str(raised.value)
    assert "short" not in str(raised.value)


def test_a_file_that_is_not_there_or_not_read_by_streamlit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: no such file"):
        auth.read(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"auth.txt: its name must end with .toml"):
        auth.read(write(tmp_path, whole(), name="auth.txt"))


@pytest.mark.parametrize(
    ("allowed", "user", "admitted"),
    [
        ([], ADA, True),
        ([], {}, False),
        ([], {**ADA, "is_logged_in": False}, False),
        ([], {"is_logged_in": True}, True),
        (["ada@example.org"], ADA, True),
        (["example.org"], ADA, True),
        (["example.org"], {**ADA, "email_verified": "true"}, True),
        (["example.org"], {**ADA, "is_logged_in": False}, False),
        (["example.org"], {**ADA, "email_verified": False}, False),
        (["example.org"], {name: value for name, value in ADA.items() if name != "email_verified"}, False),
        (["example.org"], {**ADA, "email": "ada@sub.example.org"}, False),
        (["example.org"], {**ADA, "email": "ada@notexample.org"}, False),
        (["example.org"], {**ADA, "email": "example.org"}, False),
        (["example.org"], {**ADA, "email": "@example.org"}, False),
        (["example.org"], {**ADA, "email": None}, False),
        (["bob@example.org"], ADA, False),
    ],
)
def test_who_may_read(allowed: list[str], user: dict[str, Any], admitted: bool) -> None:
    assert Auth(Path("a.toml"), SHARED["redirect_uri"], [""], allowed).admits(user) is admitted


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("/", False),
        ("/static/media/font.woff2", False),
        ("/training", False),
        ("/static/js/index.js", False),
        ("/_stcore/health", False),
        ("/_stcore/stream", False),
        ("/base/_stcore/stream", False),
        ("/_stcore/metrics", True),
        ("/_stcore/upload_file/a/b", True),
        ("/_stcore/agent/interact", True),
        ("/media/x.csv", True),
        ("/base/media/x.csv", True),
        ("/component/x/y", True),
    ],
)
def test_what_the_server_answers_to_readers_alone(path: str, closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"server.baseUrlPath": "base" if path.startswith("/base") else ""}
    monkeypatch.setattr(guarded.config, "get_option", base.__getitem__)
    assert guarded.is_closed(path) is closed


def test_the_server_is_another_one_and_knows_where_the_file_is() -> None:
    rules = Auth(Path("/x/a.toml"), SHARED["redirect_uri"], [""])
    command = server.command("127.0.0.1", 1, rules)
    assert str(server.GUARDED) in command
    assert "--secrets.files=/x/a.toml" in command
    assert str(server.APP) in server.command("127.0.0.1", 1)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["runs", "training", "prompts"])
def test_no_page_reads_anything_before_a_login(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setenv(auth.VARIABLE, str(write(tmp_path, whole())))
    monkeypatch.setattr("verl_spo_dashboard.data.open_reader", lambda url: pytest.fail(f"{page} opened {url}"))
    app = AppTest.from_file(server.APP, default_timeout=60)
    app.query_params["run"] = "a"
    app.switch_page(f"app_pages/{page}.py").run()
    assert not app.exception
    assert [button.label for button in app.button] == ["Log in"]
    assert not app.dataframe


@pytest.mark.slow
def test_the_command_says_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    secret = secrets.token_hex()
    path = write(tmp_path, whole(client_secret=secret), mode=0o644)
    command = [sys.executable, "-m", "verl_spo", "dashboard", "--auth", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "chmod 600" in done.stderr
    assert secret not in done.stderr + done.stdout
