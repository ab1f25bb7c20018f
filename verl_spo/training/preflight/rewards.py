"""Rewards: set where verl looks for them, and not known to leave the range of `spo.reward_low` and `spo.reward_high`.

The first reward outside ends the run, unless `spo.reward_out_of_range=clip`. The functions of `verl_spo.rewards` give
[0, 1]; what a user's own function gives is not known here.
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import SPOConfig
from verl_spo.errors import ConfigError
from verl_spo.rewards import SCORERS
from verl_spo.training.preflight.data import tables

OVERLONG = "reward.reward_kwargs.overlong_buffer_cfg"
OURS = "pkg://verl_spo.rewards"
# Rewards arrive as float32.
_ROUNDING = 1e-6
# What only verl's older trainers read, and where it stands now (verl/experimental/reward_loop/reward_loop.py:39).
_MOVED = {
    "custom_reward_function": "reward.custom_reward_function",
    "reward_model": "reward.reward_model, reward.reward_manager and reward.reward_kwargs",
    "sandbox_fusion": "reward.sandbox_fusion",
}


def check_names(config: DictConfig) -> None:
    """Refuse what is set where verl's V1 trainer does not look.

    Raises:
        ConfigError: An option is of verl's older trainers, or a function of `verl_spo.rewards` is not there or lacks
            what it needs.
    """
    for group, now in _MOVED.items():
        for option, value in _given(group, config.get(group)):
            raise ConfigError(f"{option}={value!r}: verl's V1 trainer does not read it; set it in {now}")
    if _is_ours(config):
        _check_function(config.reward.custom_reward_function.name)


def check_range(config: DictConfig, spo: SPOConfig) -> None:
    """Refuse what is known to leave the range.

    Raises:
        ConfigError: Rewards will be lower than `spo.reward_low`, or higher than `spo.reward_high`.
    """
    if spo.reward_out_of_range == "clip":
        return
    if config.reward.reward_model.enable and not config.reward.custom_reward_function.path:
        _check_reward_model(spo)
    else:
        _check_scores(config, spo)
        if _is_ours(config):
            _check_holds_unit(config, spo)


def _is_ours(config: DictConfig) -> bool:
    """verl takes dots and slashes (verl/utils/import_utils.py:167)."""
    return str(config.reward.custom_reward_function.path).replace("/", ".") == OURS.replace("/", ".")


def _check_function(name: str) -> None:
    if name not in SCORERS:
        raise ConfigError(f"reward.custom_reward_function.name={name!r}: {OURS} has {', '.join(SCORERS)}")
    SCORERS[name].check_installed()


def _check_holds_unit(config: DictConfig, spo: SPOConfig) -> None:
    if spo.reward_low > 0 or spo.reward_high < 1:
        raise ConfigError(
            f"spo.reward_low={spo.reward_low:g}, spo.reward_high={spo.reward_high:g}: the rewards of "
            f"reward.custom_reward_function.name={config.reward.custom_reward_function.name} are 0 for a wrong answer "
            "and 1 for a right one; set a range that has both, or spo.reward_out_of_range=clip"
        )


def _given(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Options of a group that are not null, by their whole names."""
    if isinstance(value, DictConfig):
        for key, deeper in value.items():
            yield from _given(f"{name}.{key!s}", deeper)
    elif value is not None:
        yield name, value


def _check_reward_model(spo: SPOConfig) -> None:
    """verl takes its score before any activation (verl/experimental/reward_loop/reward_loop.py:239)."""
    if spo.reward_low >= 0:
        raise ConfigError(
            f"spo.reward_low={spo.reward_low:g}: reward.reward_model.enable=True gives logits, of either sign and "
            "without bounds; set spo.reward_low and spo.reward_high to the range that counts, and "
            "spo.reward_out_of_range=clip"
        )


def _check_scores(config: DictConfig, spo: SPOConfig) -> None:
    losses = dict(_losses(config))
    lowest = -sum(losses.values())
    if losses and lowest < spo.reward_low - _ROUNDING:
        raise ConfigError(
            f"spo.reward_low={spo.reward_low:g}: rewards go down to {lowest:g} ({'; '.join(losses)}); set "
            f"spo.reward_low={lowest:g}, or spo.reward_out_of_range=clip"
        )


def _losses(config: DictConfig) -> Iterator[tuple[str, float]]:
    """What takes rewards below 0, and how far."""
    manager = config.reward.reward_manager
    if manager.source != "register":
        return
    if not config.reward.custom_reward_function.path and (sources := _penalized_sources(config)):
        yield f"verl scores a wrong answer to data_source={min(sources)!r} with -1", 1.0
    if manager.name == "dapo" and (penalty := _overlong_penalty(config)) > 0:
        yield f"{OVERLONG} takes up to {penalty:g} from a long response", penalty


def _overlong_penalty(config: DictConfig) -> float:
    """Of the longest response (verl/experimental/reward_loop/reward_manager/dapo.py:108)."""
    buffer = OmegaConf.select(config, OVERLONG)
    if not (buffer and buffer.enable):
        return 0.0
    beyond = config.data.max_response_length - config.reward.reward_kwargs.max_resp_len + buffer.len
    return float(beyond / buffer.len * buffer.penalty_factor)


def _penalized_sources(config: DictConfig) -> set[str]:
    """Data sources whose wrong answers verl's own scorer gives -1 (verl/utils/reward_score/__init__.py:59)."""
    return {
        source
        for source in _sources(config)
        if source in ("math_dapo", "math", "math_dapo_reasoning") or source.startswith("aime")
    }


def _sources(config: DictConfig) -> set[str]:
    """Of the training rows that can be read here."""
    found = [table for _, table in tables(config, "train_files") if "data_source" in table.schema.names]
    columns = [table.to_table(columns=["data_source"])["data_source"] for table in found]
    return {source for column in columns for source in column.unique().to_pylist() if source}
