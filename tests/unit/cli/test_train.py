"""`verl-spo train`, `recipes` and `demo`, as far as they go without training."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from verl_spo.cli.demo import Gain, find_accelerator
from verl_spo.cli.main import app

runner = CliRunner()


def test_recipes_are_those_that_can_be_started() -> None:
    result = runner.invoke(app, ["recipes"])
    names = result.output.split()
    assert {"cpu/arithmetic_spo", "cpu/arithmetic_grpo"} <= set(names)
    assert not any(Path(name).name.startswith("_") or name.startswith("spo") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing"], "recipe 'nothing': no such recipe; there are cpu/arithmetic_grpo"),
        (["cpu/arithmetic_spo", "spo.epsilon=-1"], "spo.epsilon=-1.0: must be at least 0"),
        (["cpu/arithmetic_spo", "spo.epsilom=1"], "epsilom"),
        (["cpu/arithmetic_spo", "demo_dir=/nowhere"], "data.train_files=/nowhere/data/train.parquet: no such file"),
        (
            ["cpu/arithmetic_grpo", "actor_rollout_ref.rollout.n=1"],
            "algorithm.adv_estimator=grpo compares the responses",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["train", *arguments], standalone_mode=False)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message


def test_a_gain_reads_as_the_last_line_of_the_demo() -> None:
    assert str(Gain(0.33, 0.45)) == "validation accuracy 0.33 -> 0.45, +12.0 points"
    assert str(Gain(0.45, 0.44)) == "validation accuracy 0.45 -> 0.44, -1.0 points"


@pytest.mark.parametrize(
    ("device", "kind"),
    [("nvidia0", "an NVIDIA GPU"), ("kfd", "an AMD GPU"), ("davinci3", "an Ascend NPU"), ("nvidiactl", None)],
)
def test_an_accelerator_is_known_by_its_device_file(device: str, kind: str | None, tmp_path: Path) -> None:
    assert find_accelerator(tmp_path) is None
    (tmp_path / device).touch()
    assert find_accelerator(tmp_path) == kind
