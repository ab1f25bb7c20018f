"""`verl-spo train` with the options that show a run, or start it on other machines."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.support import configured
from verl_spo.cli.main import app
from verl_spo.demo.pretraining import model_config
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tokenizer import build_tokenizer
from verl_spo.errors import SPOError

pytestmark = pytest.mark.slow

STAND_INS = Path(__file__).parents[2] / "support" / "slurm"
URL = "postgresql://me:s3cret@127.0.0.1:1/spo"


def train(*arguments: str) -> tuple[int, str]:
    """Exit status and output; errors of ours are raised."""
    result = CliRunner().invoke(app, ["train", configured.RECIPE, *arguments])
    if isinstance(result.exception, SPOError):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_SPO_DB", URL)


def test_print_shows_verls_command_and_needs_no_file() -> None:
    status, output = train("--print", "spo.retention=drift", "demo_dir=/nowhere")
    assert status == 0
    assert "-m verl.trainer.main_ppo --config-name cpu/arithmetic_spo \\\n    spo.retention=drift" in output


@pytest.mark.parametrize(
    "place",
    [
        [],
        ["--slurm", "--partition", "gpu", "--sbatch", "qos=high", "--sbatch", "--exclusive"],
        ["--ray", "http://head:8265"],
        ["--k8s", "--image", "spo:1"],
        ["--skypilot"],
    ],
)
def test_a_database_that_was_typed_is_shown_nowhere(place: list[str]) -> None:
    status, output = train(*place, "--print", f"spo.store.url='{URL}'")
    assert status == 0
    assert "s3cret" not in output
    assert "env:VERL_SPO_DB" in output


def test_options_of_sbatch_pass_through() -> None:
    _, output = train(
        "--slurm",
        "--print",
        "--partition=gpu",
        "--time=4:00:00",
        "--account=ai",
        "--sbatch=qos=high",
        "--sbatch=--exclusive",
    )
    headers = {line for line in output.splitlines() if line.startswith("#SBATCH")}
    wanted = ("--partition=gpu", "--time=4:00:00", "--account=ai", "--qos=high", "--exclusive", "--nodes=1")
    assert {f"#SBATCH {option}" for option in wanted} <= headers


@pytest.mark.parametrize("place", [["--k8s", "--image", "spo:1", "--volume", "claim:/data"], ["--skypilot"]])
def test_a_manifest_is_printed(place: list[str]) -> None:
    status, output = train(*place, "spo.store.url=env:VERL_SPO_DB")
    assert status == 0
    assert yaml.safe_load(output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slurm", "--k8s"], "--slurm --k8s: a run starts in one place"),
        (["--partition", "gpu"], "options of sbatch: only with --slurm"),
        (["--image", "spo:1"], "--image: only with --skypilot or --k8s"),
        (["--slurm", "--working-dir", "."], "--working-dir: only with --ray"),
        (["--print", "--check"], "--print --check: one at a time"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(SPOError, match=message):
        train(*arguments)


def test_slurm_gets_only_what_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{STAND_INS}:/usr/bin:/bin")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    with pytest.raises(SPOError, match=r"data\.train_files=.*no such file"):
        train("--slurm", f"demo_dir={tmp_path}/nowhere")
    assert not (tmp_path / "calls").exists()
    configured.make_files(tmp_path)
    assert train("--slurm", f"demo_dir={tmp_path}")[0] == 0
    assert (tmp_path / "script").read_text().startswith("#!/usr/bin/env bash\n")


def test_a_dry_run_checks_and_shows_what_verl_would_see(tmp_path: Path) -> None:
    status, output = train("--dry-run", f"demo_dir={tmp_path}/nowhere")
    assert status == 1
    assert "no such file" in output
    configured.make_files(tmp_path)
    model_config(Recipe(), build_tokenizer()).save_pretrained(tmp_path / "model")
    status, output = train("--dry-run", f"demo_dir={tmp_path}", "+trainer.note='postgresql://me:s3cret@h/db'")
    assert status == 0
    checked, _, rest = output.partition("# What verl will see")
    config, _, command = rest.partition("# What --print shows\n\n")
    assert "fails" not in checked
    assert yaml.safe_load(config)["data"]["train_files"] == f"{tmp_path}/data/train.parquet"
    assert "-m verl.trainer.main_ppo" in command
    assert "s3cret" not in output
    assert list(tmp_path.glob("checkpoints/**/*")) == []
