"""What a cluster is told of a run."""

import pytest

from tests.support import configured
from verl_spo.errors import ConfigError
from verl_spo.launching.targets import job

pytestmark = pytest.mark.slow

GPU = ["trainer.device=cuda", "trainer.n_gpus_per_node=8"]
SEPARATE = [
    "trainer.v1.trainer_mode=spo_separate_async",
    "data.train_batch_size=256",
    "trainer.v1.separate_async.parameter_sync_step=4",
    "actor_rollout_ref.rollout.checkpoint_engine.backend=nccl",
    "actor_rollout_ref.rollout.nnodes=2",
    "actor_rollout_ref.rollout.n_gpus_per_node=4",
]


@pytest.mark.parametrize(
    ("overrides", "size"),
    [([], (1, 0)), (["trainer.nnodes=4", *GPU], (4, 8)), ([*GPU, *SEPARATE], (3, 8))],
)
def test_its_size_is_what_the_recipe_trains_and_generates_on(overrides: list[str], size: tuple[int, int]) -> None:
    made = job.of(configured.RECIPE, overrides)
    assert (made.nodes, made.gpus_per_node) == size


def test_its_name_is_one_that_every_cluster_takes() -> None:
    made = job.of(configured.RECIPE, ["trainer.experiment_name='A_long name, with 8 B parameters, and more of it'"])
    assert made.run == "arithmetic/A_long name, with 8 B parameters, and more of it"
    assert made.name == "arithmetic-a-long-name-with-8-b-paramete"


def test_options_that_contradict_each_other_are_refused_here() -> None:
    with pytest.raises(ConfigError, match=r"actor_rollout_ref\.rollout\.n=2: SPO samples one response"):
        job.of(configured.RECIPE, ["actor_rollout_ref.rollout.n=2"])


def test_the_database_is_the_first_of_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_1")
    monkeypatch.setenv("STORE", "postgresql://me:s3cret@db/spo")
    made = job.of(configured.RECIPE, ["spo.store.url=env:STORE"], ["HF_TOKEN", "STORE"])
    assert made.environment() == {"STORE": "postgresql://me:s3cret@db/spo", "HF_TOKEN": "hf_1"}
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="the variable HF_TOKEN is not set; export it, or leave out --env HF_TOKEN"):
        made.environment()


def test_secrets_in_overrides_are_refused_by_their_names_only() -> None:
    with pytest.raises(ConfigError) as refused:
        job.of(configured.RECIPE, ["+trainer.wandb_api_key=abc123"])
    assert "+trainer.wandb_api_key=***" in str(refused.value)
    assert "write trainer.wandb_api_key=${oc.env:NAME} and give --env NAME" in str(refused.value)
    assert "abc123" not in str(refused.value)
    assert job.of(configured.RECIPE, ["+trainer.wandb_api_key=${oc.env:WANDB_API_KEY}"]).overrides


def test_secrets_in_a_recipe_do_not_travel_as_text(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults: [cpu/arithmetic_spo, _self_]\nservice: {api_key: abc123}\n")
    with pytest.raises(ConfigError, match="would see the secrets in it") as refused:
        job.of(str(recipe), []).composed()
    assert "abc123" not in str(refused.value)
    recipe.write_text("defaults: [cpu/arithmetic_spo, _self_]\nservice: {api_key: '${oc.env:SERVICE_KEY}'}\n")
    monkeypatch.delenv("SERVICE_KEY", raising=False)
    assert "${oc.env:SERVICE_KEY}" in job.of(str(recipe), []).composed()
