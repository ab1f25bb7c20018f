"""The simulation against what can be worked out: order statistics, Little's law, and nothing gets lost."""

from dataclasses import dataclass, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.throughput import order_statistics
from verl_spo.simulation.collecting import WAYS, Account, Collection, Rest, Setting, Way
from verl_spo.simulation.durations import Bimodal, Constant, Durations, Lognormal
from verl_spo.simulation.sessions import Sessions
from verl_spo.simulation.throughput import Figures

GROUPED, SINGLE = (lambda rest, grouped=grouped: Way(grouped, rest) for grouped in (True, False))


@dataclass(frozen=True)
class Exponential:
    """Without a memory: what has run for a while takes no less long than what begins."""

    mean: float

    def draw(self, rng):
        return rng.exponential(self.mean)


def figures(way: Way, setting: Setting, sessions: Sessions | Durations, batches: int = 400) -> Figures:
    made = sessions if isinstance(sessions, Sessions) else Sessions(sessions)
    return Figures.of(Collection(way, setting, made, np.random.default_rng(0)).run(batches), setting)


def harmonic(first: int, last: int) -> float:
    return sum(1 / number for number in range(first, last + 1))


def test_waiting_for_all_is_the_expected_longest():
    found = figures(SINGLE(Rest.NONE), Setting(24, 8, 24), Exponential(60), 1000)
    assert found.seconds == pytest.approx(60 * harmonic(1, 24), rel=0.04)
    assert found.idle == pytest.approx(1 - 1 / harmonic(1, 24), abs=0.01)
    assert (found.wasted, found.staleness, found.length) == (0, 0, pytest.approx(1))


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_lognormal_batches_take_what_integrals_say(sigma):
    quantiles, setting = order_statistics.lognormal(60, sigma), Setting(24, 8, 48)
    longest = order_statistics.expected(quantiles, 24, 24)
    waiting = figures(SINGLE(Rest.NONE), setting, Lognormal(60, sigma))
    first = figures(SINGLE(Rest.ABORTED), setting, Lognormal(60, sigma))
    groups = figures(GROUPED(Rest.ABORTED), setting, Lognormal(60, sigma))
    assert waiting.seconds == pytest.approx(longest, rel=0.08)
    assert first.seconds == pytest.approx(order_statistics.expected(quantiles, 24, 48), rel=0.04)
    assert first.length == pytest.approx(order_statistics.length(quantiles, 24, 48, 60), rel=0.04)
    assert groups.seconds == pytest.approx(longest / order_statistics.groups_ratio(quantiles, 24, 8, 1), rel=0.06)


def test_the_fastest_24_of_48_last_six_tenths_of_the_mean():
    assert figures(SINGLE(Rest.ABORTED), Setting(24, 8, 48), Lognormal(60, 0.5)).length == pytest.approx(0.62, abs=0.01)


def test_what_is_aborted_was_work():
    found = figures(SINGLE(Rest.ABORTED), Setting(24, 8, 48), Exponential(1))
    places = [harmonic(48 - place + 1, 48) for place in range(1, 25)]
    assert found.seconds == pytest.approx(places[-1], rel=0.04)
    assert found.wasted == pytest.approx(24 * places[-1] / (sum(places) + 24 * places[-1]), abs=0.01)
    assert found.idle == pytest.approx(1 - (sum(places) + 24 * places[-1]) / (48 * places[-1]), abs=0.01)


@pytest.mark.parametrize("rest", [Rest.ABORTED, Rest.KEPT, Rest.PARTIAL, Rest.CONTINUOUS])
def test_without_a_memory_full_slots_are_all_that_counts(rest):
    found = figures(SINGLE(rest), Setting(24, 8, 24), Exponential(60))
    assert found.seconds == pytest.approx(60, rel=0.04)
    assert found.idle == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("over", [0.5, 1.0, 3.0])
def test_what_is_kept_waits_as_many_updates_as_batches_are_open_beyond_one(over, grouped):
    """Little's law: of 1 + over batches that are open one is taken a step, and nothing is left out for ever."""
    setting = Setting(24, 4, 96, over, over)
    kept, partial, continuous = (
        figures(Way(grouped, rest), setting, Lognormal(60, 0.8)) for rest in (Rest.KEPT, Rest.PARTIAL, Rest.CONTINUOUS)
    )
    assert kept.staleness == pytest.approx(over, rel=0.02)
    assert kept.length == pytest.approx(1, abs=0.02)
    assert kept.wasted == 0
    assert partial.old < kept.old < 1
    assert (partial.seconds, continuous.old) == (kept.seconds, partial.old)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_ways_agree_where_all_takes_equally_long(way):
    found = figures(way, Setting(24, 8, 24), Constant(60), 20)
    assert (found.seconds, found.length, found.idle) == pytest.approx((60, 1, 0))


def test_slots_that_only_one_way_fills_are_what_it_gains():
    wide = Setting(24, 8, 48)
    assert figures(SINGLE(Rest.KEPT), wide, Constant(60), 500).seconds == pytest.approx(30, rel=0.01)
    assert figures(SINGLE(Rest.NONE), wide, Constant(60), 5).seconds == pytest.approx(60)


def test_fewer_slots_than_sessions_take_turns():
    found = figures(GROUPED(Rest.NONE), Setting(24, 8, 8), Constant(60), 3)
    assert (found.seconds, found.idle) == pytest.approx((180, 0))


def test_groups_wait_for_their_slowest_member():
    """Of 64 groups that begin at once the first 32 are taken; with one slow session in eight few groups have none."""
    found = figures(GROUPED(Rest.ABORTED), Setting(256, 8, 512), Bimodal(60, 1 / 8, 10), 20)
    alone = figures(SINGLE(Rest.ABORTED), Setting(256, 8, 512), Bimodal(60, 1 / 8, 10), 20)
    assert found.seconds == pytest.approx(10 * alone.seconds)


def test_updates_stop_all_but_continuous_collection():
    setting = Setting(24, 8, 24, update=30)
    assert figures(SINGLE(Rest.NONE), setting, Constant(60), 10).seconds == pytest.approx(90)
    assert figures(SINGLE(Rest.KEPT), setting, Constant(60), 10).seconds == pytest.approx(90)
    assert figures(SINGLE(Rest.CONTINUOUS), setting, Constant(60), 500).seconds == pytest.approx(60, rel=0.01)
    assert figures(SINGLE(Rest.NONE), setting, Constant(60), 10).idle == pytest.approx(1 / 3)


def test_without_staleness_continuous_collection_waits_for_the_update():
    setting = Setting(24, 8, 24, staleness=0, update=30)
    found = figures(SINGLE(Rest.CONTINUOUS), setting, Constant(60), 10)
    assert (found.seconds, found.staleness) == (pytest.approx(90), 0)


def test_failures_that_are_tried_again_cost_half_a_life_each():
    found = figures(SINGLE(Rest.NONE), Setting(24, 8, 24), Sessions(Exponential(60), failures=0.25))
    lost = 0.25 / 0.75 / 2
    assert found.failed == pytest.approx(lost / (1 + lost), abs=0.01)


def test_what_fails_for_good_is_missing():
    setting, sessions = Setting(24, 8, 24), Sessions(Constant(60), failures=0.25, retried=False)
    accounts = Collection(GROUPED(Rest.NONE), setting, sessions, np.random.default_rng(0)).run(400)
    assert sum(each.trained for each in accounts) == pytest.approx(0.75 * 24 * 400, rel=0.02)
    assert Figures.of(accounts, setting).seconds == pytest.approx(60 / 0.75, rel=0.02)


def test_the_limit_bounds_a_batch():
    found = figures(SINGLE(Rest.NONE), Setting(24, 8, 24), Sessions(Lognormal(60, 1.0), limit=100))
    assert found.seconds <= 100
    assert found.cut > 0
    assert found.length == pytest.approx(1)


@pytest.mark.parametrize(
    ("over", "grouped", "units"), [(0.1, False, 26), (0.1, True, 3), (0.4, True, 4), (0.7, True, 5), (1, True, 6)]
)
def test_over_provisioning_starts_whole_units(over, grouped, units):
    way, setting = Way(grouped, Rest.KEPT), Setting(24, 8, 24, over)
    assert setting.open(way) == units
    assert setting.sessions(way) == units * (8 if grouped else 1)


settings = st.builds(
    lambda group, groups, slots, over, update: Setting(group * groups, group, slots, over, over, update),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 20),
    st.sampled_from([0, 0.3, 1, 2.5]),
    st.sampled_from([0, 0.5, 40]),
)
all_sessions = st.builds(
    Sessions,
    st.sampled_from([Constant(3), Lognormal(3, 1.0), Bimodal(3, 0.2, 8)]),
    st.sampled_from([0, 0.4]),
    st.booleans(),
    st.sampled_from([float("inf"), 4]),
)


@given(st.sampled_from(WAYS), settings, all_sessions, st.integers(1, 5), st.integers(0, 99))
def test_nothing_gets_lost(way, setting, sessions, batches, seed):
    collection = Collection(way, setting, sessions, np.random.default_rng(seed))
    accounts = collection.run(batches)
    assert len(accounts) == batches
    total = {
        each.name: sum(getattr(account, each.name) for account in accounts)
        for each in fields(Account)
        if each.name != "staleness"
    }
    ended = total["trained"] + total["wasted"] + total["failed"]
    assert total["started"] == ended + len(collection.unended) + len(collection.untrained)
    work = total["trained_work"] + total["wasted_work"] + total["failed_work"]
    assert total["busy"] == pytest.approx(work + sum(collection.unended) + sum(collection.untrained))
    assert total["busy"] <= setting.slots * total["seconds"] * (1 + 1e-9)
    assert len(collection.unended) <= setting.slots
    assert 0 <= total["old_work"] <= total["trained_work"] * (1 + 1e-9)
    for number, account in enumerate(accounts):
        assert account.trained == len(account.staleness) <= setting.batch
        assert account.trained == setting.batch or not sessions.retried
        assert all(0 <= updates <= number for updates in account.staleness)
    if way.rest in (Rest.NONE, Rest.ABORTED):
        assert sum(sum(account.staleness) for account in accounts) == 0
        assert collection.unended == collection.untrained == []
    if way.rest is not Rest.ABORTED:
        assert total["wasted"] == 0
