"""The pages in real Chromium: what a user does, and what hostile text must not do."""

import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, settled
from tests.support.benchmarked import benchmarked
from tests.support.plausible import PlausibleRun, Question, arithmetic
from verl_spo.store import open_reader, queries
from verl_spo_dashboard.series import MOST_POINTS

pytestmark = pytest.mark.browser

CANARY = (
    "<img src=x onerror=\"document.title='caught'\"> [x](javascript:alert(1)) ![y](http://example.com/y.png) "
    "$\\input{x}$ :material/home: :red[z] **bold** <script>alert(2)</script>"
)

ROW_HEIGHT = 33

expect.set_options(timeout=PATIENCE_MS)


def cell(page: Page, text: str) -> Locator:
    """A cell of a table. Tables are drawn on a canvas; this is what they tell a screen reader."""
    return page.locator("canvas [role=gridcell]").get_by_text(text, exact=True)


def click_row(page: Page, row: int, rows: int, table: int = 0) -> None:
    """Click a row, counted from 0, of a table once it has so many and stays; its header is as high as a row."""
    canvas = page.get_by_test_id("data-grid-canvas").nth(table)
    expect(canvas.get_by_role("grid", include_hidden=True)).to_have_attribute("aria-rowcount", str(rows + 1))
    settled(page)
    # A layer for scrolling lies above what is drawn and takes the click.
    canvas.click(position={"x": 120, "y": ROW_HEIGHT * (row + 1.5)}, force=True)


def drawing(page: Page, chart: int) -> str:
    """What a chart looks like: the shapes of its marks."""
    return str(page.locator("svg.marks").nth(chart).locator(".mark-line").first.inner_html())


def test_a_run_appears_trains_and_ends_before_ones_eyes(page: Page, url: str) -> None:
    page.goto("/")
    expect(page.get_by_text("There is no file")).to_be_visible()
    run = PlausibleRun(url, name="arithmetic/spo-1").train(4)
    expect(cell(page, "arithmetic/spo-1")).to_be_attached()
    click_row(page, 0, rows=1)
    expect(page).to_have_url(re.compile(r"/training\?run=arithmetic%2Fspo-1$"))
    figures = page.get_by_test_id("stMetricValue")
    expect(figures.first).to_have_text("4")
    expect(page.locator("svg.marks")).to_have_count(6)
    expect(page.get_by_text(re.compile("running$"))).to_be_visible()
    before = drawing(page, 0)
    run.train(6)
    expect(figures.first).to_have_text("10")
    page.wait_for_function("before => document.querySelector('svg.marks .mark-line').innerHTML !== before", arg=before)
    run.close()
    expect(page.get_by_text(re.compile("finished$"))).to_be_visible()
    expect(page.get_by_text("Nothing is running")).to_be_visible()


def click_a_step(page: Page, run: str) -> None:
    """Click into the middle of the first curve of a run that has ended."""
    page.goto(f"/training?run={run}")
    curve = page.locator("svg.marks").first
    expect(curve.locator(".mark-line").first).to_be_attached()
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    curve.click(position={"x": 150, "y": 120})


def test_a_step_of_a_curve_leads_to_its_rollouts(page: Page, url: str) -> None:
    for name in ("older", "newer"):
        PlausibleRun(url, name=name).train(6).close()
    click_a_step(page, "older")
    expect(page).to_have_url(re.compile(r"/rollouts\?run=older&from=(\d)&to=\1$"))
    expect(page.get_by_text("of the 32 trajectories of these steps")).to_be_attached()


def test_a_point_of_several_steps_leads_to_the_rollouts_of_all_of_them(page: Page, url: str) -> None:
    PlausibleRun(url, name="a").train(3 * MOST_POINTS).close()
    click_a_step(page, "a")
    expect(page).to_have_url(re.compile(r"/rollouts\?run=a&from=\d+&to=\d+$"))
    first, last = map(int, re.findall(r"\d+", page.url.partition("&")[2]))
    assert first + 2 == last
    expect(page.get_by_label("From step")).to_have_value(str(first))
    expect(page.get_by_text("of the 96 trajectories of these steps")).to_be_attached()


def test_another_axis_is_drawn_in_the_same_charts(page: Page, url: str) -> None:
    PlausibleRun(url, name="a").train(3).close()
    page.goto("/training?run=a")
    curve = page.locator("svg.marks").first
    expect(curve.get_by_text("step", exact=True)).to_be_attached()
    numbers = curve.locator(".mark-text.role-axis-label").first.locator("text").all_text_contents()
    assert {*filter(None, numbers)} == {"1", "2", "3"}
    page.evaluate("document.querySelector('svg.marks').isTheSame = true")
    for name, title in (("Trajectories", "trajectories"), ("Hours", "hours since the run began"), ("Step", "step")):
        page.get_by_role("radio", name=name).click()
        expect(curve.get_by_text(title, exact=True)).to_be_attached()
    assert page.evaluate("document.querySelector('svg.marks').isTheSame")


def test_several_runs_are_compared(page: Page, url: str) -> None:
    for seed, name in enumerate(("a", "b")):
        PlausibleRun(url, name=name, seed=seed).train(3).close()
    page.goto("/training?run=a&with=b&smoothing=0.8")
    expect(page.locator("svg.marks").first.locator(".mark-symbol").first).to_be_attached()
    legend = page.locator("svg.marks").first
    expect(legend.get_by_text("a", exact=True)).to_be_attached()
    expect(legend.get_by_text("b", exact=True)).to_be_attached()
    expect(page).to_have_url(re.compile(r"run=a&with=b&smoothing=0.8$"))


def test_prompts_are_searched_sorted_and_opened(page: Page, url: str) -> None:
    questions = [Question("What is 12345 + 1?", "12346", 0.5), *arithmetic(63)]
    PlausibleRun(url, name="a", questions=questions).train(6).close()
    with open_reader(url) as reader:
        (easiest,) = queries.prompts(reader, 1, "value", descending=True, limit=1).rows
    page.goto("/prompts")
    expect(page).to_have_url(re.compile(r"/prompts\?run=a$"))
    expect(page.get_by_text("64 prompts")).to_be_visible()

    page.get_by_label("Order").click()
    page.get_by_role("option", name="Easiest first").click()
    expect(page).to_have_url(re.compile("sort=Easiest"))
    expect(page.locator("canvas [role=gridcell]").first).to_have_text(easiest.text)

    search = page.get_by_role("searchbox", name="Search")
    search.fill("12345")
    expect(page.get_by_text("1 prompt", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("q=12345"))
    expect(cell(page, "What is 12345 + 1?")).to_be_attached()
    click_row(page, 0, rows=1)
    expect(page).to_have_url(re.compile("prompt=1"))
    expect(page.get_by_text("Right answer: 12346")).to_be_visible()
    search.fill("")
    expect(page.get_by_text("64 prompts")).to_be_visible()
    expect(page.get_by_text("Right answer: 12346")).to_be_visible()


def test_prompts_go_on_with_a_run_that_trains(page: Page, url: str) -> None:
    run = PlausibleRun(url, name="a", questions=arithmetic(32)).train(1)
    page.goto("/prompts?run=a&prompt=1")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    visits = page.get_by_test_id("stMetric").filter(has_text="Visits").get_by_test_id("stMetricValue")
    expect(visits).to_have_text("1")
    page.evaluate("window.loadedOnce = true")
    run.train(2)
    expect(visits).to_have_text("3")
    run.close()
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    assert page.evaluate("window.loadedOnce")


def test_an_address_names_the_run_that_is_shown(page: Page, url: str) -> None:
    PlausibleRun(url, name="a").train(1).close()
    page.goto("/training")
    expect(page).to_have_url(re.compile(r"/training\?run=a$"))
    expect(page.locator("svg.marks").first).to_be_visible()
    page.get_by_role("link", name="Prompts").click()
    expect(page).to_have_url(re.compile(r"/prompts\?run=a$"))
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    page.get_by_role("link", name="Training").click()
    expect(page).to_have_url(re.compile(r"/training\?run=a$"))


def test_an_address_brings_everything_back(page: Page, url: str) -> None:
    PlausibleRun(url, name="a").train(6).close()
    page.goto("/prompts?run=a&q=what&sort=Easiest+first&page=2&prompt=3")
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("what")
    expect(page.get_by_text("Right answer")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("page 2", re.IGNORECASE))).to_be_visible()


def test_hostile_text_stays_text(page: Page, url: str) -> None:
    questions = [Question(f"{CANARY} {q.text}", f"{CANARY} {q.answer}", q.start, CANARY) for q in arithmetic(32)]
    for name in (CANARY, f"second {CANARY}"):
        PlausibleRun(url, name=name, questions=questions, wrong=CANARY).train(4).close()

    page.goto("/")
    expect(cell(page, CANARY)).to_be_attached()
    click_row(page, 1, rows=2)
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value(re.compile("<img src=x"))
    page.get_by_role("combobox", name="Compare with").click()
    page.get_by_role("option").get_by_text("second").click()
    expect(page.get_by_test_id("stMultiSelect").get_by_text("<img src=x")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="All").click()
    expect(page.locator("svg.marks")).to_have_count(17)
    expect(page.locator("svg.marks").get_by_text("<img src=x").first).to_be_attached()
    page.locator("svg.marks").nth(1).hover()
    expect(page.locator("#vg-tooltip-element")).to_contain_text("<img src=x")

    page.goto("/prompts?prompt=1")
    expect(page.get_by_text("Right answer: <img src=x")).to_be_visible()
    answers = page.get_by_test_id("stCode").filter(has_text=CANARY)
    expect(answers.first).to_be_visible()
    click_row(page, 0, rows=20)
    expect(page.get_by_text("Right answer: <img src=x")).to_be_visible()

    expect(page.locator("img[src='x'], a[href^='javascript'], .katex, [data-testid=stApp] script")).to_have_count(0)
    assert page.title() != "caught"


def test_benchmarks_lead_to_a_problem_and_a_samples_text(page: Page, url: str) -> None:
    PlausibleRun(url, name="a").train(2).close()
    benchmarked(url, "a", (0, 20), text=CANARY)
    page.goto("/benchmarks?run=a")
    expect(page.locator("svg.marks")).to_have_count(1)
    page.get_by_text("pass@k", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"figure=pass%40k"))
    expect(page.locator("svg.marks").get_by_text("pass@8")).to_be_visible()
    cell(page, "How much is 11 times 11?").first.wait_for(state="attached")
    page.goto("/benchmarks?run=a&problem=3&sample=2")
    expect(page.get_by_text("Problem 4 · right answer: 9")).to_be_visible()
    expect(page.get_by_text("Sample 3 · ")).to_be_visible()
    expect(page.get_by_text("<script>alert(2)</script>").first).to_be_visible()
    expect(page).not_to_have_title("caught")


def test_what_is_hard_for_another_run_leads_to_its_prompts(page: Page, url: str) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(6).close()
    page.goto("/difficulty?run=a&with=b")
    expect(page.locator("svg.marks")).to_have_count(19)
    bars = page.locator("svg.marks").nth(1).locator(".mark-rect path")
    heights = [box["height"] if (box := bar.bounding_box()) else 0 for bar in bars.all()]
    bars.nth(heights.index(max(heights))).click()
    expect(page).to_have_url(re.compile(r"/prompts\?run=b&value_from=0\.\d+&value_to=\d\.\d+"))
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()


def test_what_is_hard_leads_to_its_prompts(page: Page, url: str) -> None:
    questions = [replace(q, source=CANARY if place % 2 else "words") for place, q in enumerate(arithmetic(64))]
    run = PlausibleRun(url, name="a", questions=questions).train(12)
    page.goto("/difficulty?run=a")
    expect(page.locator("svg.marks")).to_have_count(10)
    expect(page.locator("svg.marks").get_by_text("<img src=x").first).to_be_attached()
    run.close()
    expect(page.get_by_text("Nothing is running")).to_be_visible()

    with open_reader(url) as reader:
        last = queries.step_summaries(reader, 1)[-1]
    histogram, classes = last.value_histogram, last.details["classes"]
    page.locator("svg.marks").first.locator(".mark-rect path").nth(histogram.index(max(histogram))).click()
    expect(page).to_have_url(re.compile(r"/prompts\?run=a&value_from=0\.\d+&value_to=\d\.\d+"))
    expect(page.get_by_text(f"{max(histogram)} prompts", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Data for verl").click()
    assert pq.read_table(download.value.path()).num_rows > 0

    page.goto("/difficulty?run=a")
    parts = page.locator("svg.marks").filter(has_text="Data sources").locator(".mark-rect path")
    parts.first.wait_for(state="attached")
    widths = [box["width"] if (box := part.bounding_box()) else 0 for part in parts.all()]
    parts.nth(widths.index(max(widths))).click()
    expect(page).to_have_url(re.compile(r"/prompts\?run=a&source=.*&visits_"))
    largest = max(count for counts in classes.values() for count in counts)
    expect(page.get_by_text(f"{largest} prompts", exact=True)).to_be_visible()
    expect(page.locator("img[src='x'], a[href^='javascript'], .katex, [data-testid=stApp] script")).to_have_count(0)
