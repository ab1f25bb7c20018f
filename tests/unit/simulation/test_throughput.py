import math

import pytest
from scipy.stats import ttest_1samp

from verl_spo.simulation.collecting import WAYS, Account, Rest, Setting, Way
from verl_spo.simulation.durations import Constant, Lognormal
from verl_spo.simulation.plots import chart
from verl_spo.simulation.sessions import Sessions
from verl_spo.simulation.throughput import Estimate, Figures, compare

SETTING, SESSIONS = Setting(8, 4, 16), Sessions(Lognormal(60, 0.8))


def test_an_estimate_is_students_interval():
    values = [1.0, 2.0, 4.0]
    interval = ttest_1samp(values, 0).confidence_interval()
    found = Estimate.of(values)
    assert (found.mean, found.low, found.high) == pytest.approx((7 / 3, interval.low, interval.high))
    assert found.half == pytest.approx((interval.high - interval.low) / 2)


def test_one_seed_has_no_interval():
    found = Estimate.of([2.0])
    assert found.mean == 2
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_figures_are_of_all_batches_together():
    one = Account(10, 4, 3, 1, 0, 1, busy=16, drawn=20, trained_work=9, wasted_work=7, old_work=3, staleness=[0, 0, 3])
    two = Account(20, 4, 3, 0, 1, 0, busy=14, drawn=20, trained_work=12, failed_work=2, staleness=[1, 1, 1])
    assert Figures.of([one, two], Setting(3, 1, 2)) == Figures(
        seconds=15,
        idle=0.5,
        wasted=pytest.approx(7 / 30),
        failed=pytest.approx(2 / 30),
        staleness=1,
        most_stale=3,
        old=pytest.approx(3 / 21),
        length=pytest.approx((21 / 6) / (40 / 8)),
        cut=pytest.approx(1 / 6),
    )


def test_seeds_reproduce_and_more_of_them_change_the_mean():
    first = compare(SETTING, SESSIONS, batches=3, seeds=2)
    assert [each.way for each in first] == [*WAYS]
    assert first == compare(SETTING, SESSIONS, batches=3, seeds=2)
    assert first[0].seconds != compare(SETTING, SESSIONS, batches=3, seeds=3)[0].seconds


def test_ratios_are_to_groups_that_are_waited_for():
    groups, alone, first = compare(
        SETTING, SESSIONS, 20, 4, [Way(True, Rest.NONE), Way(False, Rest.NONE), Way(False, Rest.ABORTED)]
    )
    assert groups.ratio == alone.ratio == Estimate(1, 1, 1)
    assert first.ratio.mean == pytest.approx(groups.seconds.mean / first.seconds.mean, rel=0.1)
    assert 1 < first.ratio.low < first.ratio.high


def test_the_batches_before_steady_state_do_not_count():
    """The first batch of ways that keep the rest takes as long as a session, later ones half of that."""
    (found,) = compare(Setting(8, 4, 16), Sessions(Constant(60)), 4, 2, [Way(False, Rest.KEPT)])
    assert found.seconds.mean == pytest.approx(30)


def test_the_picture_has_a_panel_a_figure_and_a_line_a_way(tmp_path):
    drawn = chart(compare(SETTING, SESSIONS, 2, 2))
    panels = drawn.to_dict()["hconcat"]
    assert len(panels) == 5
    drawn.save(tmp_path / "ways.svg")
    svg = (tmp_path / "ways.svg").read_text()
    assert all(f">{way}<" in svg for way in WAYS)
    assert "wasted work" in svg


def test_the_picture_of_one_seed_has_no_interval():
    panels = chart(compare(SETTING, SESSIONS, 2, 1)).to_dict()["datasets"].values()
    assert all(each["low"] == each["mean"] == each["high"] for points in panels for each in points)
