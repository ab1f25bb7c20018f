"""What travels by environment variable, and what people see of it."""

import os

import pytest

from tests.support.configured import RECIPE
from verl_spo.launching import commands, compose, launch, secrets
from verl_spo.store.database.urls import parse

pytestmark = pytest.mark.slow

URL = "postgresql://me:s3cret@db/spo"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_SPO_DB", "sqlite:///other.db")


@pytest.mark.parametrize("override", [f"spo.store.url='{URL}'", f"++spo.store.url='{URL}'"])
def test_a_password_that_was_typed_goes_into_the_variable(override: str) -> None:
    given = [override, "spo.retention=drift"]
    assert secrets.without_password(compose.load(RECIPE, given), given) == [
        "spo.retention=drift",
        "++spo.store.url=env:VERL_SPO_DB",
    ]
    assert os.environ["VERL_SPO_DB"] == URL


@pytest.mark.parametrize("url", ["sqlite:////data/spo.db", "postgresql://me@db/spo", "env:STORE"])
def test_a_url_without_one_stays(url: str) -> None:
    given = [f"spo.store.url='{url}'"]
    assert secrets.without_password(compose.load(RECIPE, given), given) == given
    assert os.environ["VERL_SPO_DB"] == "sqlite:///other.db"


def test_verl_never_sees_the_password() -> None:
    given = [f"spo.store.url='{URL}'"]
    started = launch.build(RECIPE, given, compose.load(RECIPE, given))
    shown = [*commands.first_lines(started), commands.verl_command(started), commands.resolved(started)]
    for text in (*started.command, *started.environment.values(), *shown, str(started.config)):
        assert "s3cret" not in text
    assert parse(started.config.spo.store.url).password == "s3cret"


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("trainer.seed=1", "trainer.seed=1"),
        ("demo_dir='/a b'", "demo_dir='/a b'"),
        ("+wandb.api_key=abc", "+wandb.api_key=***"),
        ("+wandb.api_key='${oc.env:KEY}'", "+wandb.api_key='${oc.env:KEY}'"),
        ("+ray_init.env_vars={HF_TOKEN:abc}", "+ray_init.env_vars=***"),
        ("+ray_init.env_vars={HF_TOKEN:'${oc.env:KEY}'}", "+ray_init.env_vars={HF_TOKEN:'${oc.env:KEY}'}"),
        ("+servers=[{password:abc}]", "+servers=***"),
        ("trainer.logger=[console,tensorboard]", "trainer.logger=[console,tensorboard]"),
        ("+seed=choice(1,2)", "+seed=choice(1,2)"),
        ("+a.note='postgresql://me:s3cret@${oc.env:HOST}/spo'", "+a.note=postgresql://me:***@${oc.env:HOST}/spo"),
    ],
)
def test_people_see_overrides_without_secrets(override: str, shown: str) -> None:
    assert secrets.shown([override]) == [shown]
