"""One recipe's page, as Markdown."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import DictConfig, OmegaConf

from verl_spo.launching import recipes

_SETTINGS = {
    "algorithm.adv_estimator": "how advantages are estimated",
    "trainer.v1.trainer_mode": "trainer",
    "data.train_batch_size": "prompts per step",
    "actor_rollout_ref.rollout.n": "responses per prompt",
    "actor_rollout_ref.actor.ppo_mini_batch_size": "prompts per update",
    "data.max_prompt_length": "tokens of a prompt, at most",
    "data.max_response_length": "tokens of a response, at most",
    "actor_rollout_ref.actor.optim.lr": "learning rate",
    "actor_rollout_ref.actor.clip_ratio_low": "clip, below",
    "actor_rollout_ref.actor.clip_ratio_high": "clip, above",
    "actor_rollout_ref.actor.clip_ratio_c": "dual clip",
    "actor_rollout_ref.rollout.temperature": "temperature",
    "spo.retention": "how evidence is kept",
    "spo.normalization": "how advantages are normalized",
    "trainer.nnodes": "nodes",
    "trainer.n_gpus_per_node": "GPUs per node",
    "actor_rollout_ref.actor.megatron.tensor_model_parallel_size": "tensor parallel",
    "actor_rollout_ref.actor.megatron.pipeline_model_parallel_size": "pipeline parallel",
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": "tokens per GPU and micro-batch",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": "tensor parallel, vLLM",
    "actor_rollout_ref.rollout.gpu_memory_utilization": "vLLM's share of the memory",
    "trainer.save_freq": "steps between checkpoints",
    "trainer.total_training_steps": "steps",
}
"""Options that a page shows, and what they are."""

_PAPER = {
    "data.train_batch_size": 1024,
    "actor_rollout_ref.rollout.n": 1,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 128,
    "data.max_prompt_length": 2048,
    "data.max_response_length": 8192,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.28,
    "actor_rollout_ref.actor.clip_ratio_c": 10.0,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "spo.retention": "kl",
    "spo.normalization": "trajectory",
}
"""What [SPO] (arXiv 2509.13232, section 5) gives for SPO itself; its GRPO has 128 prompts of 8 responses."""

_PHASES = {
    "generation": "generation",
    "old_log_prob": "old log-probs",
    "rescoring": "re-scoring (kl)",
    "update": "update",
    "weight_sync": "weight sync",
}

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701
)


def render(recipe: str, config: DictConfig, plan: Mapping[str, Any] | None, planned: str) -> str:
    """A recipe's page.

    Args:
        recipe: Its name.
        config: As verl sees it.
        plan: What `verl-spo plan --json` says of it; None if no plan is made of it.
        planned: The date of the plan.
    """
    file = recipes.folder() / f"{recipe}.yaml"
    text = file.read_text()
    group, _, name = recipe.partition("/")
    script = file.with_name(f"run_{name}.sh")
    return _TEMPLATES.get_template("page.md.jinja").render(
        recipe=recipe,
        group=group,
        says=_comment(text),
        parts=re.findall(r"^  - (?:override )?/?([\w/]+)$", text, re.MULTILINE),
        links={part: _link(recipe, part) for part in re.findall(r"^  - /([\w/]+)$", text, re.MULTILINE)},
        yaml=text.strip(),
        script=script.name if script.is_file() else None,
        knobs=re.findall(r"^(\w+)=\$\{\w+:-(.*)\}$", script.read_text(), re.MULTILINE) if script.is_file() else [],
        data=re.findall(r"^# Data: (.*)$", script.read_text(), re.MULTILINE) if script.is_file() else [],
        settings=_settings(config),
        plan=plan,
        planned=planned,
        phases=_phases(plan) if plan else [],
    )


def _comment(text: str) -> str:
    """The comment that a recipe begins with."""
    lines = text.partition("\n\n")[2].splitlines()
    said = [line.removeprefix("#").strip() for line in lines[: _first(lines, "#")]]
    return "\n".join(said)


def _first(lines: Sequence[str], prefix: str) -> int:
    """How many lines begin with a prefix before the first that does not."""
    return next((number for number, line in enumerate(lines) if not line.startswith(prefix)), len(lines))


def _link(recipe: str, part: str) -> str | None:
    """Where a part lies, from the recipe's page; None for verl's own."""
    file = recipes.folder() / f"{part}.yaml"
    here = Path("docs/recipes") / Path(recipe).parent
    return os.path.relpath(f"recipes/{part}.yaml", here) if file.is_file() else None


def _settings(config: DictConfig) -> list[tuple[str, str, str, str]]:
    """Option, what it is, its value, the paper's; those that the recipe does not have are left out."""
    engine = config.actor_rollout_ref.actor.strategy
    ours = config.algorithm.adv_estimator == "spo"
    rows = []
    for option, words in _SETTINGS.items():
        value = OmegaConf.select(config, option)
        if (
            value is None
            or (".megatron." in option and engine != "megatron")
            or (option.startswith("spo.") and not ours)
        ):
            continue
        rows.append((option, words, _written(value), _written(_PAPER[option]) if ours and option in _PAPER else ""))
    return rows


def _written(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _phases(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Phase, GiB of the GPU that needs the most, seconds per step."""
    sizes, seconds = plan["bytes_per_gpu"]["phases"], plan["seconds_per_step"]
    return [
        (words, _size(sizes.get(name, sizes["old_log_prob"])), f"{seconds[name]:,.0f}")
        for name, words in _PHASES.items()
        if seconds.get(name)
    ]


def _size(count: float) -> str:
    return f"{count / 2**30:.1f}"
