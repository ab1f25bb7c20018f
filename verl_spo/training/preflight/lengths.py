"""Lengths of prompts and responses against what vLLM, the model and a micro-batch hold."""

from collections.abc import Iterator

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import parallelism
from verl_spo.training.architecture import Architecture

_ROLLOUT = "actor_rollout_ref.rollout"


def check(config: DictConfig) -> None:
    """Hold the longest sequence against vLLM's limit and against the tokens of a micro-batch.

    Raises:
        ConfigError: A sequence of the allowed length would not fit.
    """
    longest, rollout = _longest(config), config.actor_rollout_ref.rollout
    if rollout.max_model_len is not None and rollout.max_model_len < longest:
        raise ConfigError(
            f"{_ROLLOUT}.max_model_len={rollout.max_model_len}: a prompt and its response take up to "
            f"{_spelt(config)} tokens; set at least {longest}"
        )
    share = parallelism.of(config).context
    for option, tokens in _budgets(config):
        if tokens * share < longest:
            raise ConfigError(
                f"{option}={tokens}: a micro-batch, on {share} GPU{'s' * (share > 1)}, must "
                f"hold one of {_spelt(config)} tokens; set at least {-(-longest // share)}"
            )


def check_model(config: DictConfig, model: Architecture) -> None:
    """Hold the longest sequence against the positions that the model was built for.

    Raises:
        ConfigError: It has fewer.
    """
    rollout, longest = config.actor_rollout_ref.rollout, _longest(config)
    if not model.positions:
        return
    if rollout.max_model_len is not None and rollout.max_model_len > model.positions:
        raise ConfigError(
            f"{_ROLLOUT}.max_model_len={rollout.max_model_len}: the model was built for {model.positions} tokens "
            f"(max_position_embeddings); set at most that"
        )
    if longest > model.positions:
        raise ConfigError(
            f"data.max_response_length={config.data.max_response_length}: with data.max_prompt_length="
            f"{config.data.max_prompt_length} makes {longest} tokens, and the model was built for {model.positions} "
            "(max_position_embeddings); set less"
        )


def _longest(config: DictConfig) -> int:
    return int(config.data.max_prompt_length + config.data.max_response_length)


def _spelt(config: DictConfig) -> str:
    prompt, response = config.data.max_prompt_length, config.data.max_response_length
    return f"data.max_prompt_length + data.max_response_length = {prompt} + {response}"


def _budgets(config: DictConfig) -> Iterator[tuple[str, int]]:
    """Tokens of a micro-batch per GPU, under dynamic batching (verl/utils/seqlen_balancing.py:384)."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    if actor.use_dynamic_bsz:
        yield "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", actor.ppo_max_token_len_per_gpu
    if rollout.log_prob_use_dynamic_bsz:
        yield f"{_ROLLOUT}.log_prob_max_token_len_per_gpu", rollout.log_prob_max_token_len_per_gpu
    if actor.use_kl_loss and config.actor_rollout_ref.ref.log_prob_use_dynamic_bsz:
        yield (
            "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu",
            config.actor_rollout_ref.ref.log_prob_max_token_len_per_gpu,
        )
