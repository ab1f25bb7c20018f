"""Where the value tracker starts: `spo.init`."""

import logging
from collections.abc import Mapping

import numpy as np

from verl_spo.config import SPOConfig
from verl_spo.core.estimates import Estimates
from verl_spo.core.rewards import RewardScale
from verl_spo.core.tracker import ValueTracker
from verl_spo.store import open_reader, queries
from verl_spo.store.transfer.scores import read_scores
from verl_spo.training.prompts.pool import PromptPool

_log = logging.getLogger(__name__)


def initial_tracker(config: SPOConfig, pool: PromptPool) -> ValueTracker:
    """The tracker before the first step; prompts of which nothing is known start at the prior.

    `init=rollouts` starts there too: its estimates need the rollout engine (trainers.py).

    Raises:
        StoreError: The run of `spo.init_run` is not in the database.
        DataError: `spo.init_file` cannot be read.
    """
    match config.init:
        case "file":
            return _logged(config, _from_file(config, pool))
        case "run":
            return _logged(config, _from_run(config, pool))
    return prior_tracker(config, pool)


def prior_tracker(config: SPOConfig, pool: PromptPool) -> ValueTracker:
    """A tracker that knows nothing."""
    return ValueTracker.from_value(len(pool), config.prior, config.prior_n_eff)


def tracker_of(config: SPOConfig, known: np.ndarray, values: np.ndarray) -> ValueTracker:
    """A tracker of values (P,), with the evidence of `spo.init_n_eff` where `known` (P,), else of the prior."""
    strength = np.where(known, config.init_n_eff, config.prior_n_eff)
    return ValueTracker.from_value(len(values), np.where(known, values, config.prior), strength)


def _from_file(config: SPOConfig, pool: PromptPool) -> tuple[np.ndarray, np.ndarray]:
    slots, scale = _slots_by_key(pool), RewardScale.of(config)
    estimates = Estimates.none(len(pool))
    for key, scores in read_scores(str(config.init_file)).items():
        if key in slots:
            rewards = _scaled(scale, key, scores)
            estimates.add(np.repeat(slots[key], rewards.size), np.tile(rewards, len(slots[key])))
    return estimates.responses > 0, estimates.values(config.prior)


def _scaled(scale: RewardScale, key: str, scores: list[float]) -> np.ndarray:
    return scale.scale(scores, lambda _: key)


def scores_file(config: SPOConfig, estimates: Mapping[bytes, tuple[int, float]]) -> dict[str, list[float]]:
    """What `init=file` reads as these estimates: scores by prompt digest, in the rewards' own unit.

    Args:
        config: Whose rewards they are.
        estimates: By digest, how many responses there are and the sum of their rewards, in [0, 1] each.
    """
    scale = RewardScale.of(config)
    return {digest.hex(): scale.unscale(total, count).tolist() for digest, (count, total) in estimates.items()}


def _from_run(config: SPOConfig, pool: PromptPool) -> tuple[np.ndarray, np.ndarray]:
    """Values of the prompts that the earlier run observed, while training or before it."""
    with open_reader(config.store.url) as reader:
        earlier = queries.tracker(reader, queries.run(reader, str(config.init_run)).run.id)
    values = earlier.alpha / (earlier.alpha + earlier.beta)
    observed = dict(zip(map(bytes, earlier.digests[earlier.known]), values[earlier.known], strict=True))
    known = np.array([digest in observed for digest in pool.digests])
    return known, np.array([observed.get(digest, config.prior) for digest in pool.digests])


def _logged(config: SPOConfig, found: tuple[np.ndarray, np.ndarray]) -> ValueTracker:
    known, values = found
    _log.warning(
        "spo.init=%s: %d of %d prompts known, the others start at the prior", config.init, known.sum(), len(known)
    )
    return tracker_of(config, known, values)


def _slots_by_key(pool: PromptPool) -> Mapping[str, list[int]]:
    """How a file may name slots: one by its digest in hex, or all whose last message has a text by that text."""
    slots: dict[str, list[int]] = {}
    for slot, (digest, prompt) in enumerate(zip(pool.digests, pool.prompts(), strict=True)):
        for key in (prompt.text.strip(), digest.hex()):
            slots.setdefault(key, []).append(slot)
    return slots
