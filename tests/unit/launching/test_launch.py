"""What a launch makes of a recipe: what it checks here, the trainer finds there."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import configured
from tests.support.stores import info
from verl_spo.launching import compose, launch
from verl_spo.store import open_writer
from verl_spo.store.database.urls import parse, sqlite_path
from verl_spo.store.records import InitScores, TrackerRows
from verl_spo.store.runs.status import Status
from verl_spo.training import provenance, verl_options
from verl_spo.training.initial.earlier import earlier_estimates
from verl_spo.training.preflight import notes
from verl_spo.training.prompts.pool import PromptPool

pytestmark = pytest.mark.slow

RECIPE = "cpu/arithmetic_spo"
ROW = {
    "data_source": "arithmetic",
    "prompt": [{"role": "user", "content": "1+1"}],
    "reward_model": {"style": "rule", "ground_truth": "2"},
}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the recipe wants to find in `demo`."""
    here = tmp_path / "here"
    for folder in ("data", "model"):
        (here / "demo" / folder).mkdir(parents=True)
    (here / "demo" / "model" / "config.json").write_text("{}")
    for name in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist([ROW]), here / "demo" / "data" / f"{name}.parquet")
    monkeypatch.chdir(here)
    return here


def test_a_relative_database_is_the_same_one_wherever_the_trainer_lands(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = launch.prepare(RECIPE, ["spo.init=rollouts"])
    store = verl_options.spo_config(started.config).store
    assert store.url == f"sqlite:///{workplace}/demo/verl_spo.db"
    assert store.host == provenance.host()

    pool = PromptPool([ROW])
    ones, none = np.ones(1), np.zeros(1)
    name = verl_options.run_name(started.config)
    run = info(name, config=verl_options.plain(started.config))
    rows = TrackerRows(np.arange(1), ones, ones, none, none, none)
    writer = open_writer(store, run, pool.records(), rows, None)
    writer.add_init_scores(InitScores(np.array([0]), np.array([8]), np.array([7.0])))
    writer.close(Status.FAILED)

    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    overrides = started.command[started.command.index(RECIPE) + 1 :]
    there = compose.load(RECIPE, overrides)
    assert there == started.config
    assert earlier_estimates(there, verl_options.spo_config(there), pool).responses.tolist() == [8]


def test_postgres_is_the_same_from_everywhere(workplace: Path, postgres_url: str) -> None:
    started = launch.prepare(RECIPE, [f"spo.store.url='{postgres_url}'"])
    store = verl_options.spo_config(started.config).store
    assert (store.url, store.host) == (postgres_url, None)


def test_a_path_with_blanks_and_quotes_arrives(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = workplace.parent / "it's an {odd} place"
    shutil.move(workplace, odd)
    monkeypatch.chdir(odd)
    started = launch.prepare(RECIPE, [])
    store = verl_options.spo_config(started.config).store
    assert sqlite_path(parse(store.url)) == odd / "demo" / "verl_spo.db"


def test_options_without_effect_are_said_once_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    configured.make_files(tmp_path)
    prepared = launch.prepare(configured.RECIPE, [f"demo_dir={tmp_path}", "data.seed=7"])
    assert "data.seed=7: prompts are drawn from the whole pool by spo.seed" in caplog.text
    # The trainer, which checks once more, does not repeat them.
    assert prepared.environment[notes.SAID]
