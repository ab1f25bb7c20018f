"""Evaluating a policy on benchmarks: by which configuration it is loaded, how it is sampled, what there is already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from verl_spo.config import EvaluationConfig
from verl_spo.errors import ConfigError
from verl_spo.launching import compose, launch, secrets
from verl_spo.launching.launch import Launch
from verl_spo.launching.policies import Policy
from verl_spo.launching.recipes import override
from verl_spo.store import Reader, queries
from verl_spo.store.database.urls import HIDDEN
from verl_spo.store.evaluations import digest_of_problems
from verl_spo.store.queries import EvaluationRow
from verl_spo.store.records import Origin
from verl_spo.training import verl_options
from verl_spo.training.agent_loop_names import SEEDED, VERLS
from verl_spo.training.launcher import EVALUATES
from verl_spo.training.preflight.data import tables
from verl_spo.training.prompts.identity import Fields, prompt_of


@dataclass(frozen=True)
class Sampling:
    """How many samples, and how they are drawn; the paper's evaluation by default ([SPO] section 5).

    Attributes:
        samples: Per problem. At least 1.
        temperature: At least 0; 0 is greedy.
        top_p: In (0, 1].
        top_k: At least 1; -1 for all tokens.
        max_response_length: Tokens; None for the recipe's.
        as_trained: Temperature, top-p and top-k of the recipe's training in place of these.
    """

    samples: int = 32
    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 20
    max_response_length: int | None = None
    as_trained: bool = False

    def __post_init__(self) -> None:
        wrong = {
            "samples": self.samples < 1,
            "temperature": not self.temperature >= 0,
            "top_p": not 0 < self.top_p <= 1,
            "top_k": self.top_k < 1 and self.top_k != -1,
            "max_response_length": self.max_response_length is not None and self.max_response_length < 1,
        }
        for option, is_wrong in wrong.items():
            if is_wrong:
                name, value = option.replace("_", "-"), getattr(self, option)
                raise ConfigError(f"--{name} {value}: out of range; `verl-spo evaluate --help` says what it may be")


def prepare(
    policy: Policy,
    benchmarks: Sequence[Path],
    sampling: Sampling,
    store_url: str,
    recipe: str | None,
    overrides: Sequence[str],
) -> Launch:
    """Compose and check an evaluation by verl.

    Args:
        policy: What is evaluated.
        benchmarks: Files.
        sampling: How.
        store_url: Where the samples go.
        recipe: Of which configuration; None for that of the policy's run.
        overrides: Hydra's, of the user.

    Raises:
        SPOError: Something is wrong that can be known before the first worker starts.
    """
    folder = _folder(policy)
    if recipe is None:
        recipe = str(_recorded(policy, folder))
    base = compose.load(recipe, overrides)
    own = _overrides(policy, benchmarks, sampling, store_url, folder, base)
    fixed = set(map(secrets.key_of, own))
    for key in map(secrets.key_of, overrides):
        if key in fixed and not key.startswith("evaluation."):
            raise ConfigError(f"{key}: `verl-spo evaluate` sets it; it has options for what can be chosen")
    return launch.prepare(recipe, [*own, *overrides])


def results(reader: Reader, policy: Policy, prepared: Launch) -> list[EvaluationRow]:
    """The evaluations that a prepared one makes or adds to."""
    found = queries.evaluations(reader, policy.run.run.id if policy.run else None, Origin.EVALUATION, policy.step)
    model, settings = verl_options.evaluation_config(prepared.config).model, verl_options.sampling(prepared.config)
    return [
        row
        for row in found
        if row.settings == settings
        and (row.attempt or 0) == policy.attempt
        and (policy.run is not None or row.model == model)
    ]


def is_complete(rows: Sequence[EvaluationRow], prepared: Launch) -> bool:
    """Whether evaluations have all samples that a prepared one asks for, of the very problems in its files.

    Where a problem has media, which verl puts into its messages, this cannot be told without verl: then it is not.
    """
    samples = verl_options.evaluation_config(prepared.config).samples
    there = {row.problems_digest for row in rows if row.answered >= samples * row.problems}
    return all(digest_of_problems(each) in there for each in _digests(prepared).values())


def sources_of(prepared: Launch) -> list[str]:
    """The benchmarks in a prepared one's files."""
    return list(_digests(prepared))


def _digests(prepared: Launch) -> dict[str, dict[bytes, None]]:
    """The distinct problems of each benchmark, in order."""
    digests: dict[str, dict[bytes, None]] = {}
    for _, table in tables(prepared.config, "val_files"):
        for number, row in enumerate(table.to_table().to_pylist()):
            prompt = prompt_of(row, Fields.of(prepared.config.data, None), number)
            digests.setdefault(prompt.data_source, {})[prompt.digest] = None
    return digests


def _folder(policy: Policy) -> Path:
    """For the log and the recorded configuration."""
    if policy.checkpoint is not None:
        return policy.checkpoint.parent / "evaluations" / policy.checkpoint.name
    return Path("evaluations") / (policy.run.run.name if policy.run else policy.name).replace("/", "-")


def _recorded(policy: Policy, folder: Path) -> Path:
    """A recipe of the configuration that the policy's run was trained with."""
    if policy.run is None or not policy.run.attempts:
        raise ConfigError(
            f"{policy.name}: of no run in the database, so that its configuration is not known; give --recipe"
        )
    config = {name: group for name, group in policy.run.config.items() if name != "hydra"}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recorded.yaml"
    file.write_text(yaml.safe_dump(_literal(config), allow_unicode=True, sort_keys=False))
    return file


def _literal(value: Any) -> Any:
    """A recorded value that means itself: without hidden secrets, and with nothing to interpolate."""
    if isinstance(value, Mapping):
        return {name: _literal(item) for name, item in value.items() if item != HIDDEN}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return value.replace("${", r"\${") if isinstance(value, str) else value


def _overrides(
    policy: Policy,
    benchmarks: Sequence[Path],
    sampling: Sampling,
    store_url: str,
    folder: Path,
    config: DictConfig,
) -> list[str]:
    """What makes a configuration that trains one that answers benchmarks."""
    rollout, trained = "actor_rollout_ref.rollout", config.actor_rollout_ref.rollout
    drawn = trained if sampling.as_trained else sampling
    given: dict[str, Any] = {
        "trainer.v1.trainer_mode": EVALUATES,
        "trainer.default_local_dir": str(folder),
        "trainer.resume_mode": "disable" if policy.checkpoint is None else "resume_path",
        "trainer.resume_from_path": None if policy.checkpoint is None else str(policy.checkpoint.absolute()),
        "trainer.logger": ["console"],
        "data.val_files": [str(file) for file in benchmarks],
        "data.val_max_samples": -1,
        "spo.store.url": store_url,
        "spo.store.host": None,
        # Nothing is trained: no reference, no critic, no optimizer's state; all devices generate.
        "algorithm.use_kl_in_reward": False,
        "critic.enable": False,
        "actor_rollout_ref.actor.use_kl_loss": False,
        "actor_rollout_ref.actor.checkpoint.load_contents": ["model"],
        "actor_rollout_ref.hybrid_engine": True,
        f"{rollout}.nnodes": 0,
        f"{rollout}.val_kwargs.n": 1,
        f"{rollout}.val_kwargs.do_sample": drawn.temperature > 0,
        f"{rollout}.val_kwargs.temperature": drawn.temperature,
        f"{rollout}.val_kwargs.top_p": drawn.top_p,
        f"{rollout}.val_kwargs.top_k": drawn.top_k,
    }
    if trained.agent.default_agent_loop == VERLS:
        given[f"{rollout}.agent.default_agent_loop"] = SEEDED
    if policy.model is not None:
        given["actor_rollout_ref.model.path"] = policy.model
    if sampling.max_response_length is not None:
        given |= dict.fromkeys(("data.max_response_length", f"{rollout}.response_length"), sampling.max_response_length)
    asked = EvaluationConfig(
        model=_model(policy, config),
        samples=sampling.samples,
        run=policy.run.run.name if policy.run else None,
        attempt=policy.attempt,
        step=policy.step,
    )
    return [*(_plus(name, value) for name, value in given.items()), *_group("evaluation", vars(asked))]


def _model(policy: Policy, config: DictConfig) -> str:
    """What tells policies of no run apart; of a run, the model that it trains from."""
    if policy.run is None and policy.checkpoint is not None:
        return str(policy.checkpoint)
    return policy.model or str(config.actor_rollout_ref.model.path)


def _group(name: str, options: Mapping[str, Any]) -> list[str]:
    return [_plus(f"{name}.{option}", value) for option, value in options.items()]


def _plus(name: str, value: Any) -> str:
    """A Hydra override of an option that may not be there yet."""
    if isinstance(value, str):
        return f"++{override(name, value)}"
    if isinstance(value, list):
        texts = (override("", item)[1:] if isinstance(item, str) else json.dumps(item) for item in value)
        return f"++{name}=[{','.join(texts)}]"
    return f"++{name}={'null' if value is None else value}"
