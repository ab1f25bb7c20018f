"""Database URLs, with and without what nobody may see."""

from pathlib import Path

import pytest

from verl_spo.errors import StoreError
from verl_spo.store.database.urls import (
    absolute,
    describe,
    is_relative,
    mask,
    parse,
    passwords,
    resolved,
    scrub,
    sqlite_path,
    without_secrets,
)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///a.db", "sqlite+pysqlite"),
        ("postgres://u:p@h/db", "postgresql+psycopg"),
        ("postgresql://u:p@h/db", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h:5432/db", "postgresql+psycopg"),
    ],
)
def test_the_usual_spellings_are_understood(url: str, driver: str) -> None:
    assert parse(url).drivername == driver


@pytest.mark.parametrize(
    "url", ["", "a.db", "mysql://h/db", "sqlite://", "sqlite:///:memory:", "postgresql+pg8000://h/d"]
)
def test_others_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="database URL"):
        parse(url)


def test_a_url_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "postgresql://me:s3cret@h/db?api_key=more")
    assert resolved("env:STORE") == "postgresql://me:s3cret@h/db?api_key=more"
    assert passwords(parse("env:STORE")) == ["s3cret", "more"]
    assert absolute("env:STORE") == mask("env:STORE") == "env:STORE"
    monkeypatch.setenv("STORE", "sqlite:////data/spo.db")
    assert absolute("env:STORE") == "sqlite:////data/spo.db"


@pytest.mark.parametrize("held", ["", "env:STORE"])
def test_a_variable_must_hold_one(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", held)
    with pytest.raises(StoreError, match="the variable STORE must hold a URL"):
        parse("env:STORE")


def test_a_sqlite_path_is_absolute_and_may_be_in_the_home_folder() -> None:
    assert sqlite_path(parse("sqlite:///a b#?.db")).is_absolute()
    assert "~" not in str(sqlite_path(parse("sqlite:///~/a.db")))


@pytest.mark.parametrize("name", ["runs.db", "a b/it's #1.db", "../runs.db"])
def test_a_relative_file_is_named_for_every_working_directory(name: str) -> None:
    fixed = absolute(f"sqlite:///{name}")
    assert is_relative(parse(f"sqlite:///{name}"))
    assert sqlite_path(parse(fixed)) == Path.cwd() / name
    assert not is_relative(parse(fixed))
    assert absolute(fixed) == fixed


def test_a_file_in_the_home_folder_is_not_relative() -> None:
    assert not is_relative(parse("sqlite:///~/runs.db"))
    assert absolute("sqlite:///~/runs.db") == f"sqlite:///{Path.home()}/runs.db"


def test_a_server_is_the_same_from_everywhere() -> None:
    url = "postgresql://u:p%40ss@h/db?sslmode=require"
    assert absolute(url) == url


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        ("see postgresql://u:se@cret@h/db and a@b.c", "see postgresql://u:***@h/db and a@b.c"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?user=u&password=secret&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("http://h/?access_token=secret", "http://h/?access_token=***"),
        ("https://me:secret@git.host/repo.git", "https://me:***@git.host/repo.git"),
        ("time 12:30 @ noon", "time 12:30 @ noon"),
    ],
)
def test_passwords_in_urls_are_hidden(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_a_known_password_is_hidden_anywhere() -> None:
    url = parse("postgresql://u:p%40ss@h/db?password=other")
    assert scrub("login p@ss failed, other too", url) == "login *** failed, *** too"
    assert describe(url) == "postgresql://u:***@h/db?password=***"


def test_a_password_that_is_part_of_the_scheme_leaves_it_readable() -> None:
    url = parse("postgresql://postgres:postgres@h/postgres")
    assert describe(url) == "postgresql://postgres:***@h/postgres"
    shown = scrub("postgresql://postgres:postgres@h/db: password postgres is wrong", url)
    assert shown == "postgresql://***:***@h/db: password *** is wrong"


@pytest.mark.parametrize("key", ["password", "sslpassword", "passwd", "api_key", "token", "client_secret"])
def test_every_key_of_a_secret_is_hidden_in_a_description(key: str) -> None:
    assert describe(parse(f"postgresql://h/db?a=b&{key}=c4n%40ry&z=1")) == f"postgresql://h/db?a=b&{key}=***&z=1"


@pytest.mark.parametrize("url", ["sqlite://me:s3cret@/", "sqlite://me:s3cret@", "sqlite:///?password=s3cret"])
def test_a_url_without_a_file_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError, match="a run needs a file") as caught:
        parse(url)
    assert "s3cret" not in str(caught.value)


def test_secrets_in_configurations_are_hidden_and_nothing_else_is() -> None:
    config = {
        "api_key": "k",
        "wandb": {"WANDB_API_KEY": "k", "project": "p"},
        "hf_token": "t",
        "HUGGING_FACE_HUB_TOKEN": "t",
        "AWS_SESSION_TOKEN": "t",
        "github_token": "${oc.env:GITHUB_TOKEN}",
        "url": "postgresql://u:p@h/db",
        "list": [{"password": "p"}, "https://u:p@h", 3, None, True],
        "pad_token": "<pad>",
        "max_tokens": 5,
        "loss_agg_mode": "token-mean",
        "password": None,
        "key": "value",
    }
    assert without_secrets(config) == {
        "api_key": "***",
        "wandb": {"WANDB_API_KEY": "***", "project": "p"},
        "hf_token": "***",
        "HUGGING_FACE_HUB_TOKEN": "***",
        "AWS_SESSION_TOKEN": "***",
        "github_token": "${oc.env:GITHUB_TOKEN}",
        "url": "postgresql://u:***@h/db",
        "list": [{"password": "***"}, "https://u:***@h", 3, None, True],
        "pad_token": "<pad>",
        "max_tokens": 5,
        "loss_agg_mode": "token-mean",
        "password": None,
        "key": "value",
    }
