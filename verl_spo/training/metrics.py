"""The `spo/*` metrics of a step, named as in the SPO reference recipe where the meaning is the same."""

import numpy as np

from verl_spo.core.advantage import explained_variance, no_signal_share
from verl_spo.training.session import Completion, Session

PERCENTILES = (10, 50, 90)


def step_metrics(
    session: Session, completion: Completion, failed: int, drift: float | None, queue_depth: int
) -> dict[str, float]:
    """Metrics of one training step.

    Args:
        session: After the step's evidence.
        completion: The step's trajectories, at least one.
        failed: Requests that brought no trajectory: their session failed, or was evicted as too old.
        drift: Policy change of the step's update, nats a token, if measured.
        queue_depth: Steps that wait for the database.
    """
    n_eff = session.tracker.n_eff(completion.slots, session.retention.clock)
    metrics = {
        "spo/reward": completion.rewards.mean(),
        "spo/p_hats": completion.baselines.mean(),
        "spo/Neff": n_eff.mean(),
        "spo/rho": completion.rho.mean(),
        "spo/no_signal": no_signal_share(completion.advantages),
        "spo/failed": failed,
        "spo/pool/value": session.histogram.mean,
        "spo/pool/visited": session.tracker.n_visited / session.tracker.size,
        "spo/store/queue_depth": queue_depth,
        **_distribution("spo/adv_before_norm", completion.raw_advantages),
        **_distribution("spo/adv_after_norm", completion.advantages),
        **session.retention.metrics(),
        **session.sampler.metrics(),
    }
    if completion.rewards.var() > 0:
        metrics["spo/explained_variance"] = explained_variance(completion.rewards, completion.baselines)
    if np.isfinite(completion.kl).any():
        metrics["spo/D"] = np.nanmean(completion.kl)
    if drift is not None and np.isfinite(drift):
        metrics["spo/drift"] = drift
    return {name: float(value) for name, value in metrics.items()}


def _distribution(name: str, values: np.ndarray) -> dict[str, float]:
    percentiles = np.percentile(values, PERCENTILES)
    named = {f"{name}/p{p}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)}
    return {f"{name}/mean": float(values.mean()), f"{name}/std": float(values.std()), **named}
