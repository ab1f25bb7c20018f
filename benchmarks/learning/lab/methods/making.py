"""From a line of the tables to its method."""

from benchmarks.learning.lab.methods import groups, single
from benchmarks.learning.lab.methods.epochs import Epochs
from benchmarks.learning.lab.methods.method import Method
from benchmarks.learning.lab.methods.spo import SPOMethod
from benchmarks.learning.lab.methods.variant import Variant
from benchmarks.learning.lab.policy import Policy
from verl_spo import SPO, SPOConfig
from verl_spo.core.tracker import ValueTracker

_WITHOUT_TRACKER = {**groups.METHODS, **single.METHODS}


def make_method(
    variant: Variant,
    pool_size: int,
    batch_size: int,
    policy: Policy,
    seed: int,
    in_parts: bool = False,
    tracker: ValueTracker | None = None,
) -> Method:
    """The method of a variant; `in_parts` is how batches arrive, and SPO starts from `tracker` if there is one.

    Raises:
        ValueError: Unknown method.
    """
    if variant.method in _WITHOUT_TRACKER:
        return _WITHOUT_TRACKER[variant.method](pool_size, seed, policy)
    if not variant.is_spo:
        raise ValueError(f"method={variant.method!r}: must be spo... or one of {', '.join(_WITHOUT_TRACKER)}")
    retention, _, published = (variant.retention or "kl").partition(", ")
    options = SPOConfig.from_mapping(
        {
            "retention": retention,
            "event_step": "published" if published else "scaled",
            "normalization": variant.normalization or "trajectory",
            "baseline": variant.baseline,
            "sampling": variant.sampling,
            "seed": seed,
        }
    )
    epochs = Epochs(pool_size, seed) if "epochs" in variant.method else None
    whole, alone = "whole batch" in variant.method, "part alone" in variant.method
    spo = SPO(options, pool_size=pool_size, batch_size=batch_size, in_parts=in_parts and not whole and not alone)
    if tracker is not None:
        spo.start_from(tracker)
    return SPOMethod(spo, policy, "no baseline" not in variant.method, epochs, whole)
