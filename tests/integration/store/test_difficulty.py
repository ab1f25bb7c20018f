"""What pages ask the store about difficulty, on both databases."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tests.support.stores import BATCH, POOL, Training, info, pool, trained, writing
from verl_spo.config import StoreConfig
from verl_spo.core.interval import wilson_interval
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, open_writer, queries
from verl_spo.store.queries import Movement, ObservationRow, PromptFilter
from verl_spo.store.records import TrackerRows
from verl_spo.store.runs.status import Status

STEPS = 12
RESUMED_AT = 9


@pytest.fixture
def training(database_url: str) -> Training:
    """A run that went back from step 12 to step 9, and on to step 12 another way."""
    training = trained(database_url, steps=RESUMED_AT)
    state = training.tracker.state_dict()
    with writing(database_url, training, resume_step=RESUMED_AT) as writer:
        for _ in range(STEPS - RESUMED_AT):
            writer.submit(training.advance())
    training.tracker.load_state_dict(state)
    training.step, training._seed = RESUMED_AT, 1
    with writing(database_url, training, resume_step=RESUMED_AT) as writer:
        for _ in range(STEPS - RESUMED_AT):
            writer.submit(training.advance())
    return training


@pytest.fixture
def reader(database_url: str, training: Training) -> Iterator[Reader]:
    """A reader of that run's database."""
    with open_reader(database_url) as opened:
        yield opened


@pytest.fixture
def visits(reader: Reader) -> dict[int, list[ObservationRow]]:
    """Every prompt's visits that count, oldest first."""
    ids = range(1, POOL + 1)
    history = {number: queries.prompt_history(reader, 1, number)[::-1] for number in ids}
    return {number: [row for row in rows if not row.superseded] for number, rows in history.items()}


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> int:
    """Queries read the latest three steps; returns the first of them."""
    # Steps 10 to 12 were trained twice.
    monkeypatch.setattr("verl_spo.store.queries.window.MOST_OBSERVATIONS", 6 * BATCH)
    return RESUMED_AT + 1


def test_the_pool_is_counted_between_edges(reader: Reader, training: Training) -> None:
    values, edges = training.tracker.value(), np.arange(11) / 10
    expected, _ = np.histogram(values, edges)
    assert queries.pool_histogram(reader, 1, "value", edges.tolist()).tolist() == expected.tolist()
    n_eff = training.tracker.n_eff()
    found = queries.pool_histogram(reader, 1, "n_eff", [0.0, 1.5, math.inf])
    assert found.tolist() == [int((n_eff < 1.5).sum()), int((n_eff >= 1.5).sum())]
    visited = training.tracker.visits
    found = queries.pool_histogram(reader, 1, "visits", [0, 1, 2, math.inf])
    assert found.tolist() == [int((visited == 0).sum()), int((visited == 1).sum()), int((visited > 1).sum())]


def test_evidence_is_counted_at_the_runs_clock(database_url: str) -> None:
    rows = TrackerRows(
        np.arange(POOL), np.ones(POOL), np.ones(POOL), np.zeros(POOL), np.zeros(POOL, int), np.zeros(POOL, int)
    )
    open_writer(StoreConfig(url=database_url), info(), pool(), rows, None, clock=1.0).close(Status.FINISHED)
    with open_reader(database_url) as reader:
        faded = 2 * math.exp(-1.0)
        counts = queries.pool_histogram(reader, 1, "n_eff", [0.0, faded - 0.01, faded + 0.01, math.inf])
    assert counts.tolist() == [0, POOL, 0]


@pytest.mark.parametrize("edges", [[], [0.5], [0.5, 0.5], [1.0, 0.0]])
def test_edges_must_ascend(reader: Reader, edges: Sequence[float]) -> None:
    with pytest.raises(StoreError, match=r"edges=.*each above the one before"):
        queries.pool_histogram(reader, 1, "value", edges)


def test_outcomes_come_by_step_and_bin(reader: Reader, visits: dict[int, list[ObservationRow]]) -> None:
    found = queries.outcomes(reader, 1, 4, STEPS, bins=4)
    assert found.steps.tolist() == list(range(5, STEPS + 1))
    assert found.complete
    assert found.binary
    cells: dict[tuple[int, int], list[ObservationRow]] = defaultdict(list)
    for row in (row for rows in visits.values() for row in rows if row.step > 4):
        cells[row.step - 5, min(int((row.baseline or 0.0) * 4), 3)].append(row)
    for cell in np.ndindex(found.counts.shape):
        rows = cells[cell]
        assert found.counts[cell] == len(rows)
        assert found.expected[cell] == pytest.approx(sum(row.baseline or 0.0 for row in rows))
        assert found.rewards[cell] == sum(row.reward for row in rows)


def test_calibration_has_intervals_where_rewards_are_right_or_wrong(
    reader: Reader, visits: dict[int, list[ObservationRow]]
) -> None:
    found = queries.calibration(reader, 1, 0, STEPS, bins=2)
    assert (found.first_step, found.last_step) == (1, STEPS)
    assert found.counts.sum() == STEPS * BATCH
    low = [row for rows in visits.values() for row in rows if (row.baseline or 0.0) < 0.5]
    assert found.expected[0] == pytest.approx(np.mean([row.baseline or 0.0 for row in low]))
    assert found.rewards[0] == pytest.approx(np.mean([row.reward for row in low]))
    ends = wilson_interval(found.rewards[:1], [len(low)], 0.95)
    assert (found.low[0], found.high[0]) == (ends[0][0], ends[1][0])


def test_calibration_of_partial_rewards_has_no_intervals(database_url: str) -> None:
    training = Training()
    with writing(database_url, training) as writer:
        record = training.advance()
        object.__setattr__(record.observations, "reward", np.full(BATCH, 0.25))
        writer.submit(record)
    with open_reader(database_url) as reader:
        found = queries.calibration(reader, 1, 0, 1)
    assert np.nanmean(found.rewards) == 0.25
    assert np.isnan(found.low).all()


def test_draws_are_counted_by_their_baseline(reader: Reader) -> None:
    found = queries.draws(reader, 1, 2, 6, bins=5)
    assert (found.first_step, found.last_step) == (3, 6)
    assert found.counts.sum() == 4 * BATCH
    assert found.counts.shape == (5,)


def test_what_was_expected_is_the_value_whatever_the_baseline(database_url: str) -> None:
    for name, options in (("demo/value", {}), ("demo/optimal", {"spo": {"baseline": "optimal"}})):
        training = Training()
        with writing(database_url, training, run=info(name, uid=name.ljust(32, "x"), config=options)) as writer:
            for _ in range(STEPS):
                record = training.advance()
                if options:
                    object.__setattr__(record.observations, "baseline", np.full(BATCH, 0.9))
                writer.submit(record)
    with open_reader(database_url) as reader:
        value, optimal = (queries.outcomes(reader, run_id, 0, STEPS, bins=20) for run_id in (1, 2))
        np.testing.assert_array_equal(optimal.counts, value.counts)
        np.testing.assert_allclose(optimal.expected, value.expected)
        for moved in (Movement(0, 0.05), Movement(3, None, -0.05)):
            ids = [
                {
                    row.prompt_id
                    for row in queries.prompts(reader, run_id, "value", where=PromptFilter(moved=moved)).rows
                }
                for run_id in (1, 2)
            ]
            assert ids[0]
            assert ids[0] == ids[1]


def test_what_cannot_have_been_expected_is_not_known(database_url: str) -> None:
    training = Training()
    with writing(database_url, training, run=info(config={"spo": {"baseline": "optimal"}})) as writer:
        record = training.advance()
        # As if a wrong answer of the same step had come on top: what was right has faded once more.
        object.__setattr__(record.observations, "reward", np.ones(BATCH))
        object.__setattr__(record.observations, "alpha", np.full(BATCH, 0.9))
        object.__setattr__(record.observations, "beta", np.full(BATCH, 1.9))
        writer.submit(record)
    with open_reader(database_url) as reader:
        assert queries.outcomes(reader, 1, 0, 1).counts.sum() == 0
        assert queries.prompts(reader, 1, where=PromptFilter(moved=Movement(0, -1.0, 1.0))).rows == ()


def test_no_more_than_the_latest_observations_are_read(reader: Reader, small_window: int) -> None:
    found = queries.outcomes(reader, 1, 0, STEPS)
    assert found.steps.tolist() == list(range(small_window, STEPS + 1))
    assert not found.complete
    assert queries.outcomes(reader, 1, small_window - 1, STEPS).complete
    earlier = queries.outcomes(reader, 1, 0, 8)
    assert earlier.steps.tolist() == [3, 4, 5, 6, 7, 8]


def test_a_step_that_is_larger_than_the_bound_is_read_all_the_same(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_spo.store.queries.window.MOST_OBSERVATIONS", 1)
    assert queries.outcomes(reader, 1, 0, STEPS).steps.tolist() == [STEPS]


def test_a_run_without_steps_has_no_outcomes(database_url: str) -> None:
    trained(database_url, steps=0)
    with open_reader(database_url) as reader:
        assert queries.outcomes(reader, 1, 0, 10).steps.size == 0
        found = queries.calibration(reader, 1, 0, 10)
    assert (found.first_step, found.last_step) == (0, 0)
    assert np.isnan(found.rewards).all()


@pytest.mark.parametrize("bounded", [False, True])
def test_prompts_are_found_by_their_last_outcome(
    reader: Reader,
    visits: dict[int, list[ObservationRow]],
    bounded: bool,
    request: pytest.FixtureRequest,
) -> None:
    first = request.getfixturevalue("small_window") if bounded else 0
    for low, high in [(0.0, 0.0), (1.0, None), (None, 0.5), (0.3, 0.6)]:
        wanted = {
            number
            for number, rows in visits.items()
            if rows and rows[-1].step >= first and (low or 0.0) <= rows[-1].reward <= (1.0 if high is None else high)
        }
        assert bool(wanted) == ((low, high) != (0.3, 0.6))
        assert _found(reader, PromptFilter(last_outcome=(low, high))) == wanted


@pytest.mark.parametrize("since", [0, 3, RESUMED_AT])
def test_prompts_are_found_by_how_far_their_value_moved(
    reader: Reader, visits: dict[int, list[ObservationRow]], since: int
) -> None:
    for low, high in [(0.05, None), (None, -0.05), (-0.1, 0.1)]:
        least, most = (-1.0 if low is None else low), (1.0 if high is None else high)
        wanted = set()
        for number, rows in visits.items():
            later = [row for row in rows if row.step > since]
            if later and least <= rows[-1].value - (later[0].baseline or 0.0) <= most:
                wanted.add(number)
        assert wanted
        assert _found(reader, PromptFilter(moved=Movement(since, low, high))) == wanted


def test_movement_looks_no_further_back_than_the_window(reader: Reader, small_window: int) -> None:
    anything = PromptFilter(moved=Movement(0, -1.0, 1.0))
    since = PromptFilter(moved=Movement(small_window - 1, -1.0, 1.0))
    assert (
        _found(reader, anything)
        == _found(reader, since)
        == _found(reader, PromptFilter(last_step=(small_window, None)))
    )


def test_sparklines_are_the_last_visits_that_count(reader: Reader, visits: dict[int, list[ObservationRow]]) -> None:
    found = queries.sparklines(reader, 1, list(visits), points=2)
    assert set(found) == set(visits)
    for number, rows in visits.items():
        last = rows[-2:]
        assert found[number].steps == tuple(row.step for row in last)
        assert found[number].values == tuple(row.value for row in last)
        assert found[number].trend == (last[1].value - last[0].value if len(last) == 2 else None)
    assert queries.sparklines(reader, 1, []) == {}
    assert any(spark.trend is None for spark in found.values())


def test_a_selection_has_everything_of_its_prompts_in_order(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verl_spo.store.queries.selection._CHUNK", 3)
    where = PromptFilter(source="arithmetic", visits=(1, None))
    page = queries.prompts(reader, 1, "n_eff", True, where, limit=10)
    selected = list(queries.selected_prompts(reader, 1, where, "n_eff", True, most=10))
    assert tuple(each.row for each in selected) == page.rows
    assert len(selected) == 10
    by_digest = {prompt.digest: prompt for prompt in pool()}
    for each in selected:
        assert each.messages == by_digest[each.row.digest].messages
        assert each.row.ground_truth == by_digest[each.row.digest].ground_truth
    everything = list(queries.selected_prompts(reader, 1, PromptFilter()))
    assert len(everything) == POOL
    assert list(queries.selected_prompts(reader, 1, PromptFilter(words="nowhere"))) == []


def _found(reader: Reader, where: PromptFilter) -> set[int]:
    rows = queries.prompts(reader, 1, where=where, limit=POOL).rows
    assert queries.count_prompts(reader, 1, where) == len(rows)
    return {row.prompt_id for row in rows}
