"""What the progress bar and its lines say."""

import re
from pathlib import Path

import pytest

from tests.support.stores import Training, info, start, trained
from verl_spo.cli.progress import _Lines, _state, follow, follow_samples
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts
from verl_spo.store.runs.status import Status

STARTER = "elsewhere:1:2:3:4"


def test_a_step_is_shown_once_verl_has_logged_it_with_its_validation(tmp_path: Path) -> None:
    url, training, accuracy = f"sqlite:///{tmp_path}/store.db", Training(), "val-core/arithmetic/acc/mean@1"
    writer = start(url, training)
    writer.submit(training.advance())
    writer.flush(30)
    with open_reader(url) as reader:
        # The tracker's step is there, verl's validation of it is still to come.
        assert _state(reader, "demo/spo")[1] == 0
        writer.log(1, {accuracy: 0.25, "timing_s/step": 4.0})
        writer.submit(training.advance())
        writer.flush(30)
        _, step, said = _state(reader, "demo/spo")
        assert step == 1
        assert f"{accuracy} 0.250" in said.split("  ")
        writer.log(2, {"timing_s/step": 4.0})
        writer.flush(30)
        _, step, said = _state(reader, "demo/spo")
        assert step == 2
        assert f"{accuracy} 0.250 (step 1)" in said.split("  ")
        writer.close(Status.FINISHED)
        assert _state(reader, "demo/spo") == ("", step, said)


def test_before_the_first_step_the_phase_is_shown(tmp_path: Path) -> None:
    url, training = f"sqlite:///{tmp_path}/store.db", Training()
    engine = open_engine(url)
    starts.begin(engine, "demo/spo", STARTER, "starting Ray")
    with open_reader(url) as reader:
        assert _state(reader, "demo/spo") == ("starting Ray", 0, "")
        writer = start(url, training, info(starter=STARTER))
        starts.report(engine, "demo/spo", STARTER, "validating\x1b[2J")
        assert _state(reader, "demo/spo") == ("validating [2J", 0, "")
        writer.submit(training.advance())
        writer.flush(30)
        assert _state(reader, "demo/spo")[0] == ""
        writer.close(Status.FINISHED)


def test_without_a_terminal_each_phase_and_every_tenth_step_has_a_line() -> None:
    lines = _Lines()
    seen = [("loading", 0), ("loading", 0), ("validating", 0), ("", 1), ("", 9), ("", 10), ("", 11), ("", 25)]
    said = [lines.next(phase, step, f"reward {step}") for phase, step in seen]
    assert [line for line in said if line] == ["loading", "validating", "step 10: reward 10", "step 25: reward 25"]


def test_a_run_that_is_not_there_yet_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with follow(url, "demo/spo", 10):
        starts.begin(open_engine(url), "demo/spo", STARTER, "starting Ray")
    assert capsys.readouterr().out == "starting Ray\n"


def test_each_benchmark_has_a_bar_of_its_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=2, evaluated_at=(1,))
    with open_reader(url) as reader, follow_samples(lambda: queries.evaluations(reader, 1), samples=8):
        pass
    shown = re.sub(r"\x1b\[[0-9;?]*\w", "", capsys.readouterr().out)
    assert re.search(r"aime_2024 .* 12/24 ", shown)
    # While there is nothing, it says why; then that line is gone.
    assert re.search(r"loading the model .* 0/\? ", shown)
    assert "loading" not in shown.split("\r")[-1]
    assert "0/100" not in shown


def test_a_narrow_terminal_shows_the_bar_before_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    url, training = f"sqlite:///{tmp_path}/store.db", Training()
    writer = start(url, training)
    writer.submit(training.advance())
    writer.log(
        1,
        {
            "spo/reward": 0.5,
            "spo/reward_clipped": 0.0,
            "val-core/reasoning_gym/chain_sum/acc/mean@1": 0.25,
            "timing_s/step": 4.0,
        },
    )
    writer.close(Status.FINISHED)
    with follow(url, "demo/spo", 40):
        pass
    shown = re.sub(r"\x1b\[[0-9;?]*\w", "", capsys.readouterr().out).split("\r")[-1]
    assert re.match(r"demo/spo .* 1/40 0:00:0\d spo/reward 0.500  val-core/.*…", shown), shown
