"""What the model answered, in real Chromium: the walks, and what hostile answers must not do."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_dashboard import CANARY, cell, click_row
from tests.support.plausible import PlausibleRun, Question, arithmetic
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import RolloutFilter
from verl_spo_dashboard.one_rollout import named

pytestmark = pytest.mark.browser

SPOOF = "\x1b[31m \u202e" + CANARY


def test_rewards_are_clicked_and_a_rollout_is_read(page: Page, url: str) -> None:
    PlausibleRun(url, name="a", multi_turn=True).train(3).close()
    with open_reader(url) as reader:
        wrong = queries.rollouts(reader, 1, RolloutFilter(reward=(None, 0.5)), limit=20).rows
    page.goto("/rollouts?run=a&step=3")
    expect(page).to_have_url(re.compile(r"run=a&from=3&to=3$"))
    bars = page.locator("svg.marks .mark-rect path")
    expect(bars.first).to_be_visible()
    bars.first.click()
    expect(page).to_have_url(re.compile("reward="))
    page.get_by_role("spinbutton", name="From step").fill("")
    page.get_by_role("spinbutton", name="From step").press("Enter")
    expect(page).not_to_have_url(re.compile("from="))
    click_row(page, 0, rows=min(20, len(wrong)))
    expect(page).to_have_url(re.compile(re.escape(f"rollout={named(wrong[0].observation.key)}")))
    expect(page.get_by_text(re.compile("of generation and tools"))).to_be_visible()
    page.get_by_role("link", name="All about this prompt").click()
    expect(page).to_have_url(re.compile(rf"/prompt\?.*prompt={wrong[0].observation.prompt_id}"))


def test_an_outcome_in_the_chart_opens_its_rollout(page: Page, url: str) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name, questions=arithmetic(33)).train(6).close()
    with open_reader(url) as reader:
        (prompt,) = queries.prompts(reader, 2, "visits", True, limit=1).rows
        latest = queries.prompt_history(reader, 2, prompt.prompt_id)
    page.goto(f"/prompt?run=b&prompt={prompt.prompt_id}&sort=Most+visits+first")
    marks = page.locator("svg.marks").first.locator(".mark-symbol path")
    expect(marks).to_have_count(len(latest))
    marks.last.click()
    expect(page).to_have_url(re.compile(re.escape(f"rollout={named(latest[0].key)}")))
    page.get_by_role("button", name="Next prompt").click()
    expect(page).not_to_have_url(re.compile(rf"prompt={prompt.prompt_id}\b"))
    expect(page).to_have_url(re.compile("sort=Most"))
    expect(page).not_to_have_url(re.compile("rollout="))
    page.get_by_role("button", name="Previous prompt").click()
    expect(page).to_have_url(re.compile(rf"prompt={prompt.prompt_id}\b"))
    click_row(page, 1, rows=2)
    expect(page).to_have_url(re.compile("run=a&"))
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("a")


def test_hostile_answers_stay_text_where_they_are_compared(page: Page, url: str) -> None:
    questions = [Question(f"{SPOOF} {q.text}", f"{SPOOF} {q.answer}", 0.5, SPOOF) for q in arithmetic(32)]
    PlausibleRun(url, name="a", questions=questions, wrong=f"wrong {SPOOF}", multi_turn=True, seed=1).train(6).close()
    with open_reader(url) as reader:
        rows = max(
            (queries.prompt_rollouts(reader, 1, number) for number in range(1, 33)),
            key=lambda found: len({row.observation.reward for row in found}),
        )
    right, wrong = (next(row for row in rows if row.observation.reward == reward) for reward in (1.0, 0.0))
    keys = f"rollout={named(right.observation.key)}&other={named(wrong.observation.key)}"
    page.goto(f"/prompt?run=a&prompt={right.observation.prompt_id}&{keys}")
    expect(page.locator("mark").filter(has_text="wrong").first).to_be_visible()
    shown = page.locator("pre").filter(has=page.locator("mark"))
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text("<img src=x")
    expect(shown.first).to_contain_text("⟨001B⟩[31m ⟨202E⟩")
    page.goto(f"/rollouts?run=a&rollout={named(wrong.observation.key)}")
    expect(page.get_by_test_id("stCode").filter(has_text="wrong ⟨001B⟩").last).to_be_visible()
    expect(cell(page, "words")).to_have_count(0)
    expect(page.locator("img[src='x'], a[href^='javascript'], .katex, [data-testid=stApp] script")).to_have_count(0)
    assert page.title() != "caught"
