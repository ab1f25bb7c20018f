import math
import re

import pytest
from scipy.stats import lognorm

from benchmarks.throughput import order_statistics, report, studies
from benchmarks.throughput.main import sigmas, write_tables
from verl_spo.simulation.collecting import Rest, Setting, Way
from verl_spo.simulation.durations import Constant
from verl_spo.simulation.sessions import Sessions


def exponential(share: float) -> float:
    return -math.log1p(-share)


@pytest.mark.parametrize(("place", "number"), [(1, 1), (1, 24), (24, 24), (24, 48), (128, 256)])
def test_order_statistics_of_the_exponential_are_harmonic(place, number):
    expected = sum(1 / left for left in range(number - place + 1, number + 1))
    assert order_statistics.expected(exponential, place, number) == pytest.approx(expected, rel=1e-5)


def test_quantiles_are_scipys():
    assert order_statistics.lognormal(60, 0.8)(0.9) == pytest.approx(lognorm(0.8, scale=60 * math.exp(-0.32)).ppf(0.9))


def test_the_longest_of_a_group_is_the_longest_of_all_in_it():
    of_group = order_statistics.longest(exponential, 8)
    assert order_statistics.expected(of_group, 3, 3) == pytest.approx(order_statistics.expected(exponential, 24, 24))


def test_the_shortest_half_and_all():
    quantiles = order_statistics.lognormal(60, 0.5)
    assert order_statistics.length(quantiles, 24, 48, 60) == pytest.approx(0.623, abs=0.001)
    assert order_statistics.length(quantiles, 48, 48, 60) == pytest.approx(1)


def test_the_sigma_of_a_ratio_has_that_ratio():
    sigma = order_statistics.sigma_of(studies.PUBLISHED, 24, 1)
    assert order_statistics.ratio(order_statistics.lognormal(1, sigma), 24, 1) == pytest.approx(4.35)
    assert order_statistics.groups_ratio(order_statistics.lognormal(1, sigma), 24, 8, 1) < 2
    assert "| 24 | 48 | 0.71 |" in sigmas()


def test_cases_are_each_simulated_once():
    cases = list(studies.cases())
    assert len({(case.study, case.label, case.setting) for case in cases}) == len(cases)
    assert {case.study for case in cases} == {"published", "map", "staleness", "update", "limit", "failures"}


def test_rows_are_kept_as_they_are(tmp_path):
    ways = [Way(True, Rest.NONE), Way(False, Rest.KEPT)]
    case = studies.Case("map", "constant", Setting(8, 4, 8), Sessions(Constant(60)), ways, batches=2)
    rows = studies.simulate(case, seeds=2)
    studies.save(rows, tmp_path / "rows.json")
    assert [row.way for row in rows] == ["groups, wait for all", "single-stream, first, rest kept"]
    assert rows[0].figures["seconds"].mean == 60
    assert studies.load(tmp_path / "rows.json") == rows


def test_the_document_has_what_the_rows_say(tmp_path, monkeypatch):
    from benchmarks.throughput import main

    written = main.DOCUMENT.read_text()
    emptied = re.sub(r"(<!-- begin (.*?) -->).*?(<!-- end)", r"\1\n\3", written, flags=re.DOTALL)
    (tmp_path / "throughput.md").write_text(emptied)
    monkeypatch.setattr(main, "DOCUMENT", tmp_path / "throughput.md")
    write_tables()
    assert (tmp_path / "throughput.md").read_text() == written
    assert (tmp_path / "throughput-map.svg").read_text().startswith("<svg")


def test_a_table_is_markdown():
    assert report.table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
