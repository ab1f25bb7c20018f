"""The configuration by which a policy answers benchmarks."""

from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.support.configured import configure, row
from tests.support.stores import Training, evaluated, info, samples, start
from tests.support.stores import evaluation as evaluation_of
from verl_spo.config import StoreConfig
from verl_spo.errors import ConfigError, DataError
from verl_spo.launching import evaluation
from verl_spo.launching.evaluation import Sampling
from verl_spo.launching.policies import Policy
from verl_spo.launching.policies import find as find_policy
from verl_spo.store import open_reader
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.records import EvaluationInfo, Origin, PromptRecord
from verl_spo.store.runs.status import Status
from verl_spo.training import verl_options
from verl_spo.training.agent_loop_names import SEEDED
from verl_spo.training.prompts.identity import Fields, prompt_of


def find(db: str, target: object, step: int | None = None, is_model: bool = False) -> Policy:
    with open_reader(db) as reader:
        return find_policy(str(target), step, reader, is_model)


def test_a_checkpoint_of_no_run_is_evaluated_by_a_recipe(db: str, folder: Path) -> None:
    policy = find(db, folder / "checkpoints" / "spo" / "global_step_2")
    assert (policy.run, policy.step) == (None, 2)
    with pytest.raises(ConfigError, match=r"of no run in the database.*give --recipe"):
        evaluation.prepare(policy, [], Sampling(), db, None, [])


def test_checkpoints_of_no_run_are_told_apart(db: str, folder: Path) -> None:
    config = configure(folder)
    models = {evaluation._model(find(db, folder / "checkpoints" / "spo" / f"global_step_{n}"), config) for n in (2, 4)}
    assert len(models) == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("samples", 0), ("temperature", -1.0), ("top_p", 0.0), ("top_p", 1.5), ("top_k", 0), ("max_response_length", 0)],
)
def test_sampling_out_of_range_is_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} {value}: out of range"):
        Sampling(**{option: value})


@pytest.mark.slow
def test_a_run_is_loaded_as_it_was_trained_and_sampled_as_asked(db: str, folder: Path) -> None:
    policy, sampling = find(db, "demo/spo"), Sampling(samples=4, top_k=-1, max_response_length=8)
    launch = evaluation.prepare(policy, [folder / "data" / "validation.parquet"], sampling, db, None, [])
    config = launch.config
    assert verl_options.evaluates(config)
    assert not verl_options.is_spo(config)
    assert launch.folder == folder / "checkpoints" / "spo" / "evaluations" / "global_step_4"
    assert config.trainer.resume_from_path == str(policy.checkpoint)
    assert config.data.val_files == [str(folder / "data" / "validation.parquet")]
    assert config.actor_rollout_ref.rollout.response_length == config.data.max_response_length == 8
    assert config.actor_rollout_ref.rollout.agent.default_agent_loop == SEEDED
    chosen = config.actor_rollout_ref.rollout.val_kwargs
    assert (chosen.n, chosen.temperature, chosen.top_p, chosen.top_k, chosen.do_sample) == (1, 0.6, 0.95, -1, True)
    asked = verl_options.evaluation_config(config)
    assert (asked.run, asked.attempt, asked.step, asked.samples) == ("demo/spo", 2, 4, 4)
    assert asked.model == str(folder / "model")
    recorded = OmegaConf.load(launch.folder / "recorded.yaml")
    assert recorded.trainer.v1.trainer_mode == "spo_sync"


@pytest.mark.slow
def test_what_the_command_sets_is_not_overridden(db: str, folder: Path) -> None:
    file, wrong = folder / "data" / "validation.parquet", "actor_rollout_ref.rollout.val_kwargs.temperature=1"
    with pytest.raises(ConfigError, match=r"val_kwargs.temperature: `verl-spo evaluate` sets it"):
        evaluation.prepare(find(db, "demo/spo"), [file], Sampling(), db, None, [wrong])
    prepared = evaluation.prepare(find(db, "demo/spo"), [file], Sampling(), db, None, ["++evaluation.in_flight=4"])
    assert verl_options.evaluation_config(prepared.config).in_flight == 4


def test_a_recorded_configuration_means_itself() -> None:
    recorded = {"token": "***", "template": "{% if x %}${y}", "nested": [{"key": "***", "n": 1}]}
    literal = evaluation._literal(recorded)
    assert literal == {"template": r"{% if x %}\${y}", "nested": [{"n": 1}]}
    assert OmegaConf.to_container(OmegaConf.create(literal), resolve=True)["template"] == recorded["template"]


@pytest.mark.slow
def test_a_policy_may_be_sampled_as_it_was_trained(db: str, folder: Path) -> None:
    file = folder / "data" / "validation.parquet"
    launch = evaluation.prepare(find(db, "demo/spo"), [file], Sampling(as_trained=True), db, None, [])
    chosen = launch.config.actor_rollout_ref.rollout.val_kwargs
    assert (chosen.temperature, chosen.top_p, chosen.top_k) == (1.0, 1, -1)


@pytest.mark.slow
def test_a_missing_benchmark_or_model_is_found_before_the_start(db: str, folder: Path) -> None:
    policy = find(db, "demo/spo")
    with pytest.raises(DataError, match=r"data.val_files=.*aime24.parquet: no such file"):
        evaluation.prepare(policy, [folder / "aime24.parquet"], Sampling(), db, None, [])


@pytest.mark.slow
def test_results_are_those_of_the_same_policy_and_sampling(db: str, folder: Path) -> None:
    file = folder / "data" / "validation.parquet"
    with open_reader(db) as reader:
        policy = find_policy("demo/spo", None, reader, False)
        prepared = evaluation.prepare(policy, [file], Sampling(), db, None, [])
        assert evaluation.results(reader, policy, prepared) == []
        asked = verl_options.evaluation_config(prepared.config).model
        settings = verl_options.sampling(prepared.config)
        with Evaluating(StoreConfig(url=db), "demo/spo", 2) as store:
            mine = store.begin(evaluation_of(4, model=asked, origin=Origin.EVALUATION, settings=settings))
            store.begin(evaluation_of(4, model=asked, origin=Origin.EVALUATION, settings={**settings, "top_k": 1}))
        assert [row.id for row in evaluation.results(reader, policy, prepared)] == [mine]
        writer = start(db, Training(), info("other", "b" * 32))
        writer.evaluate(evaluated(4, origin=Origin.EVALUATION, settings=verl_options.sampling(prepared.config)))
        writer.close(Status.FINISHED)
        assert [row.id for row in evaluation.results(reader, policy, prepared)] == [mine]


@pytest.mark.slow
def test_what_is_complete_need_not_be_started(db: str, folder: Path) -> None:
    file = folder / "data" / "validation.parquet"
    with open_reader(db) as reader:
        policy = find_policy("demo/spo", None, reader, False)
        prepared = evaluation.prepare(policy, [file], Sampling(samples=4), db, None, [])
        settings, asked = verl_options.sampling(prepared.config), verl_options.evaluation_config(prepared.config)
        rows = [row(), row("1+2", "3")]
        problems = [prompt_of(each, Fields(), 0) for each in rows]
        records = [PromptRecord(each.digest, each.data_source, each.messages, each.truth_text) for each in problems]
        done = EvaluationInfo("arithmetic", records, 4, 4, asked.model, Origin.EVALUATION, settings)
        with Evaluating(StoreConfig(url=db), "demo/spo", 2) as store:
            number = store.begin(done)
            store.add(number, samples(done, [0, 1, 2]))
            assert not evaluation.is_complete(evaluation.results(reader, policy, prepared), prepared)
            store.add(number, samples(replace(done, wanted=5), [3]))
        assert evaluation.is_complete(evaluation.results(reader, policy, prepared), prepared)
        more = evaluation.prepare(policy, [file], Sampling(samples=5), db, None, [])
        assert not evaluation.is_complete(evaluation.results(reader, policy, more), more)
