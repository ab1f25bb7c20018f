"""What the progress bar and its lines say."""

from pathlib import Path

from tests.support.stores import Training, info, start
from verl_spo.cli.progress import _Lines, _state
from verl_spo.store import open_reader
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
