from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.plausible import PlausibleRun
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, queries
from verl_spo_dashboard import data

NAMES = ["spo/reward", "val-core/arithmetic/reward/mean@1"]


@pytest.fixture
def run(url: str) -> PlausibleRun:
    return PlausibleRun(url).train(12)


def only_run(database: Reader) -> queries.RunRow:
    (row,) = queries.runs(database)
    return row


def test_curves_read_only_what_is_new(run: PlausibleRun, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    read: Callable[..., queries.MetricPage] = queries.metric_series

    def spied(*arguments: object) -> queries.MetricPage:
        pages.append(read(*arguments))
        return pages[-1]

    monkeypatch.setattr(queries, "metric_series", spied)
    curves = data.Curves()
    with run, open_reader(url) as database:
        run_id = only_run(database).id
        curves.update(database, [run_id], NAMES)
        run.train(3)
        curves.update(database, [run_id], NAMES)
        curves.update(database, [run_id], NAMES)
    assert [sum(series.steps.size for series in page.series) for page in pages] == [12 + 2, 3, 0]
    assert curves.points(run_id, "spo/reward")[0].tolist() == list(range(1, 16))
    assert curves.points(run_id, NAMES[1])[0].tolist() == [1, 10]
    assert curves.names == NAMES


def test_curves_of_a_run_that_began_anew_are_read_anew(run: PlausibleRun, url: str) -> None:
    curves, distributions = data.Curves(), data.Distributions()
    with open_reader(url) as database:
        curves.update(database, [only_run(database).id], NAMES)
        distributions.update(database, only_run(database))
        run.close()
        with PlausibleRun(url, seed=7).train(4):
            row = only_run(database)
            curves.update(database, [row.id], NAMES)
            distributions.update(database, row)
            (series,) = queries.metric_series(database, [row.id], ["spo/reward"]).series
    assert curves.points(row.id, "spo/reward")[0].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(curves.points(row.id, "spo/reward")[1], series.values)
    assert distributions.shares(row.id)[0].tolist() == [1, 2, 3, 4]


def test_an_unknown_metric_has_no_points(url: str) -> None:
    steps, values = data.Curves().points(1, "spo/reward")
    assert (steps.size, values.size) == (0, 0)


def test_shares_of_the_pool_add_up_to_one(run: PlausibleRun, url: str) -> None:
    distributions = data.Distributions()
    with run, open_reader(url) as database:
        row = only_run(database)
        distributions.update(database, row)
        steps, shares = distributions.shares(row.id)
    assert steps.tolist() == list(range(1, 13))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert distributions.shares(row.id + 1)[0].size == 0


def test_of_a_long_run_few_steps_are_kept(run: PlausibleRun, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "HEAT_MAP_STEPS", 4)
    distributions = data.Distributions()
    with run, open_reader(url) as database:
        distributions.update(database, only_run(database))
        before = distributions.shares(1)[0].tolist()
        run.train(8)
        distributions.update(database, only_run(database))
        after = distributions.shares(1)[0].tolist()
    assert (before, after) == ([4, 8, 12], [8, 16])


def test_a_file_that_takes_anothers_place_is_opened_anew(run: PlausibleRun, url: str, tmp_path: Path) -> None:
    run.close()
    first = data.reader()
    assert data.reader() is first
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(StoreError, match="no such file"):
        data.reader()
    with PlausibleRun(url, name="another").train(1):
        assert [row.name for row in queries.runs(data.reader())] == ["another"]


def test_runs_are_found_in_the_order_of_their_names(run: PlausibleRun, url: str) -> None:
    with run, PlausibleRun(url, name="b"), open_reader(url) as database:
        rows = data.by_names(queries.runs(database), ["arithmetic-spo", "gone", "b"])
    assert [row.name for row in rows] == ["arithmetic-spo", "b"]


def test_places_of_a_run_that_has_just_been_resumed_are_all_read_again(
    run: PlausibleRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Callable[..., queries.Progress] = queries.progress

    def resumed(*arguments: object) -> queries.Progress:
        return replace(read(*arguments), attempt=2)

    places = data.Places()
    with run, open_reader(url) as database:
        row = only_run(database)
        places.update(database, row)
        run.train(3)
        monkeypatch.setattr(queries, "progress", resumed)
        # The row is of before the resume.
        places.update(database, row)
        places.update(database, row)
        seen = read(database, row.id, -1)
    steps = np.arange(1, 16)
    assert places.trajectories(row.id, steps).tolist() == np.cumsum(seen.trajectories).tolist()
