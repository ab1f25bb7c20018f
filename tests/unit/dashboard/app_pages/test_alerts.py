"""A run's alerts on its pages."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun
from tests.support.watched import COLLAPSED
from verl_spo.store.runs.status import Status

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]

PAGES = ["training", "prompts", "system"]


def texts(app: AppTest) -> str:
    return "\n".join(text.value for text in app.text)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_a_run_has_its_alerts(url: str, open_page: Open, page: str) -> None:
    COLLAPSED.train(url, "math/bad")
    app = open_page(page, run="math/bad")
    assert not app.exception
    shown = texts(app)
    assert "since step 4" in shown
    assert "The mean reward of the last 20 steps is 0.050, 92% below the best such mean, 0.600" in shown
    assert "What to do: Look at KL" in shown
    assert "requests of the last 20 steps brought no trajectory" in shown
    # By word, beside colour and symbol.
    assert {"critical: reward-collapse", "warning: failing-requests"} <= {
        word for markdown in app.markdown for word in ("critical: reward-collapse", "warning: failing-requests")
        if word in markdown.value
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_run_that_is_all_right_has_none(url: str, open_page: Open, page: str) -> None:
    PlausibleRun(url, name="good").train(30).close()
    assert "What to do" not in texts(open_page(page, run="good"))


def test_of_several_runs_an_alert_names_its_own(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="good").train(30).close()
    COLLAPSED.train(url, "**bad**")
    app = open_page("compare", **{"run": "good", "with": ["**bad**"]})
    assert not app.exception
    assert "**bad**\nsince step 4" in texts(app)
    assert all("**bad**" not in each.value for each in (*app.markdown, *app.caption))


def test_what_the_status_says_already_is_said_once(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="broken").train(2).close(Status.FAILED)
    assert "What to do" not in texts(open_page("training", run="broken"))


def test_the_rules_are_the_variables(url: str, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    COLLAPSED.train(url, "a")
    monkeypatch.setenv("VERL_SPO_RULES", "reward_drop=1 failure_share=1 failure_growth=1")
    assert "What to do" not in texts(open_page("system", run="a"))
    monkeypatch.setenv("VERL_SPO_RULES", "reward_drop=2")
    app = open_page("system", run="a")
    assert not app.exception
    assert "--rule reward_drop=2.0: must be in (0, 1]" in app.code[0].value


def test_an_alert_of_a_run_that_goes_on_appears_by_itself(url: str, open_page: Open) -> None:
    story = replace(COLLAPSED, steps=25, ended_at=lambda step: time.time() - 60 + step)
    writer = story.write(url, "live")
    app = open_page("system", run="live")
    assert "What to do" not in texts(app)
    writer.close(Status.FINISHED)
    COLLAPSED.train(url, "live")
    assert "What to do" in texts(app.run())
