"""`verl-spo simulate throughput`."""

import json

import pytest
from typer.testing import CliRunner

from tests.support.stores import trained
from verl_spo.cli.main import app
from verl_spo.errors import ConfigError, DataError
from verl_spo.simulation.collecting import WAYS

SMALL = ("--batch", "8", "--group", "4", "--batches", "2", "--seeds", "2")


def run(*arguments, ok=True):
    result = CliRunner().invoke(app, ["simulate", "throughput", *SMALL, *arguments])
    assert (result.exit_code == 0) is ok, result.output
    return result.output


def refused(error, message, *arguments):
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, ["simulate", "throughput", *SMALL, *arguments], catch_exceptions=False)


def test_the_table_has_every_way_and_says_how_many_batches(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    output = run("--sigma", "0.5")
    assert "lognormal, mean 60 s, sigma 0.5; 16 slots; 2 seeds of 2 batches of 8" in output
    assert all(f"│ {way} " in output for way in WAYS)
    assert "times as fast" in output


def test_json_has_the_setting_and_every_interval():
    found = json.loads(run("--durations", "constant", "--mean", "5", "--slots", "8", "--update", "2", "--json"))
    assert found["setting"] == {"batch": 8, "group": 4, "slots": 8, "over": 1.0, "staleness": 1.0, "update": 2.0}
    assert (found["durations"], found["batches"], found["seeds"]) == ("constant, 5 s", 2, 2)
    assert [each["way"] for each in found["results"]] == [*map(str, WAYS)]
    assert found["results"][0]["seconds"] == {"mean": 7.0, "low": 7.0, "high": 7.0}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("pareto", "--alpha", "3"), "Pareto, mean 60 s, alpha 3"),
        (("bimodal", "--slow", "0.2", "--factor", "4"), "bimodal, mean 60 s, 20% take 4 times as long"),
    ],
)
def test_shapes_are_named_with_their_options(options, name):
    assert json.loads(run("--durations", *options, "--json"))["durations"] == name


def test_trouble_reaches_the_sessions():
    found = json.loads(run("--failures", "0.3", "--failed", "lost", "--limit", "50", "--json"))
    assert (found["failures"], found["failed"], found["limit"]) == (0.3, "lost", 50)
    assert found["results"][0]["failed"]["mean"] > 0
    assert found["results"][0]["cut"]["mean"] > 0


def test_a_stored_run_lends_its_durations(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=10)
    assert "sessions of demo/spo, mean" in run("--run", "demo/spo", "--db", url)


def test_a_run_that_is_too_short_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=1)
    refused(DataError, "--run demo/spo: has", "--run", "demo/spo", "--db", url)


def test_the_plot_is_a_file(tmp_path):
    run("--plot", str(tmp_path / "ways.svg"))
    assert (tmp_path / "ways.svg").read_text().startswith("<svg")


def test_what_cannot_be_is_refused_with_a_remedy():
    refused(ConfigError, "--batch 8 --group 3: .*multiple", "--group", "3")
    refused(ConfigError, r"--plot ways.png: .*\.svg", "--plot", "ways.png")
    assert "--failures" in run("--failures", "1", ok=False)
    assert "--seeds" in run("--seeds", "1", ok=False)
