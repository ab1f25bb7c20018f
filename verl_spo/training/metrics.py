"""The `spo/*` metrics of a step, named as in the SPO reference recipe where the meaning is the same."""

import numpy as np

from verl_spo.core.advantage import explained_variance, no_signal_share
from verl_spo.core.spo import SPO, Completion

PERCENTILES = (10, 50, 90)


def step_metrics(
    spo: SPO,
    completion: Completion,
    failed: int,
    update_change: float | None,
    queue_depth: int,
    disk_free_gb: float,
) -> dict[str, float]:
    """Metrics of one training step.

    Args:
        spo: After the step's evidence.
        completion: The step's trajectories, at least one.
        failed: Requests that brought no trajectory: their session failed, generated no token, or was evicted as too
            old.
        update_change: Policy change of the step's update, nats per token, if measured.
        queue_depth: Records that wait for the database.
        disk_free_gb: GiB free where the history and the checkpoints lie, the lesser of the two.
    """
    n_eff = spo.tracker.n_eff(completion.slots, spo.retention.clock)
    metrics = {
        "spo/reward": completion.rewards.mean(),
        "spo/reward_clipped": completion.clipped.sum(),
        "spo/p_hats": completion.baselines.mean(),
        "spo/Neff": n_eff.mean(),
        "spo/rho": completion.rho.mean(),
        "spo/no_signal": no_signal_share(completion.advantages),
        "spo/failed": failed,
        "spo/pool/resting": spo.failures.n_resting,
        "spo/pool/value": spo.histogram.mean,
        "spo/pool/visited": spo.tracker.n_visited / spo.tracker.size,
        "spo/store/queue_depth": queue_depth,
        "spo/store/disk_free_gb": disk_free_gb,
        **_distribution("spo/adv_before_norm", completion.raw_advantages),
        **_distribution("spo/adv_after_norm", completion.advantages),
        **spo.retention.metrics(),
        **spo.sampler.metrics(),
    }
    if completion.rewards.var() > 0:
        metrics["spo/explained_variance"] = explained_variance(completion.rewards, completion.baselines)
    if np.isfinite(completion.policy_change).any():
        metrics["spo/D"] = np.nanmean(completion.policy_change)
    visited_before = spo.tracker.visits[completion.slots] > 1
    if spo.retention.needs_policy_change and visited_before.any():
        metrics["spo/known"] = np.isfinite(completion.policy_change[visited_before]).mean()
    if update_change is not None and np.isfinite(update_change):
        metrics["spo/drift"] = update_change
    return {name: float(value) for name, value in metrics.items()}


def _distribution(name: str, values: np.ndarray) -> dict[str, float]:
    percentiles = np.percentile(values, PERCENTILES)
    named = {f"{name}/p{p}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)}
    return {f"{name}/mean": float(values.mean()), f"{name}/std": float(values.std()), **named}
