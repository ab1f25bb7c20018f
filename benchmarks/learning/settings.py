"""What is run: settings, one table each, and the variants in their tables."""

from typing import get_args

from benchmarks.learning.lab.loop import SORTING, Setting
from benchmarks.learning.lab.methods import Variant
from verl_spo.config import NormalizationKind, RetentionKind

RETENTIONS = get_args(RetentionKind)
NORMALIZATIONS = get_args(NormalizationKind)

_BASELINES = (Variant("grpo"), Variant("reinforce++"))
_SPO = tuple(Variant("spo", retention, how) for retention in RETENTIONS for how in NORMALIZATIONS)
# The retention matters little here: two of them show that.
_OPTIMAL = (
    Variant("spo, optimal baseline", "kl", "trajectory"),
    Variant("spo, optimal baseline", "drift", "trajectory"),
    Variant("spo, optimal baseline, uniform sampling", "kl", "trajectory"),
    Variant("spo, optimal baseline, epochs", "kl", "trajectory"),
    Variant("reinforce, optimal baseline"),
)
_ABLATIONS = (
    Variant("spo", "event, published step", "trajectory"),
    Variant("spo, no baseline", "kl", "trajectory"),
    Variant("spo, uniform sampling", "kl", "trajectory"),
    Variant("spo, epochs", "kl", "trajectory"),
)
_RETENTIONS_ALONE = tuple(Variant("spo", retention, "trajectory") for retention in RETENTIONS)
# What the parts of a batch are normalized over, in the order in which they come in.
_PARTS = (
    Variant("spo", "kl", "trajectory"),
    Variant("spo, each part alone", "kl", "trajectory"),
    Variant("spo, whole batch", "kl", "trajectory"),
)
# Whether what learns fast narrows the policy.
_NARROWING = (
    *_BASELINES,
    Variant("spo", "kl", "trajectory"),
    Variant("spo, optimal baseline", "kl", "trajectory"),
    Variant("reinforce, optimal baseline"),
)
# What an engineer would choose among, where a pool is as real ones are.
_CHOICES = (
    Variant("grpo"),
    Variant("grpo, dynamic sampling"),
    Variant("rloo"),
    Variant("opo"),
    Variant("optimal token baseline"),
    Variant("reinforce++"),
    Variant("reinforce++, group baseline"),
    Variant("reinforce, optimal baseline"),
    Variant("spo", "kl", "trajectory"),
    Variant("spo", "drift", "trajectory"),
    Variant("spo", "event", "token"),
    Variant("spo, no baseline", "kl", "trajectory"),
    Variant("spo, uniform sampling", "kl", "trajectory"),
    Variant("spo, epochs", "kl", "trajectory"),
    Variant("spo, even draws", "kl", "trajectory"),
    Variant("spo, optimal baseline", "drift", "trajectory"),
    Variant("spo, optimal baseline, even draws", "drift", "trajectory"),
)

# What is left of it where a prompt is seen three times in a run, or less than once.
_LARGE = (
    *_BASELINES,
    Variant("spo", "kl", "trajectory"),
    Variant("spo", "event", "token"),
    Variant("spo, no baseline", "kl", "trajectory"),
    Variant("spo, even draws", "kl", "trajectory"),
)

# What choosing prompts is worth, and in which way.
_SAMPLING = (
    Variant("reinforce++"),
    Variant("spo", "kl", "trajectory"),
    Variant("spo, uniform sampling", "kl", "trajectory"),
    Variant("spo, epochs", "kl", "trajectory"),
    Variant("spo, even draws", "kl", "trajectory"),
    Variant("spo, optimal baseline", "drift", "trajectory"),
    Variant("spo, optimal baseline, even draws", "drift", "trajectory"),
    Variant("reinforce, optimal baseline"),
)

# The main claims, on another task.
_CLAIMS = (
    *_BASELINES,
    Variant("reinforce, optimal baseline"),
    Variant("spo", "kl", "trajectory"),
    Variant("spo", "drift", "trajectory"),
    Variant("spo", "kl", "token"),
    Variant("spo", "event", "token"),
    Variant("spo, no baseline", "kl", "trajectory"),
    Variant("spo, epochs", "kl", "trajectory"),
    Variant("spo, even draws", "kl", "trajectory"),
    Variant("spo, optimal baseline", "drift", "trajectory"),
    Variant("spo, optimal baseline, even draws", "drift", "trajectory"),
)

# How a tracker follows what it did not see: other right answers, and a policy that went on.
_ADAPTING = (
    Variant("reinforce++"),
    Variant("grpo"),
    *_RETENTIONS_ALONE,
)

# What knowing the pool before the first step is worth, once for each way to draw.
_STARTS = tuple(
    Variant(f"spo{draws}{start}", "kl", "trajectory")
    for draws in ("", ", even draws")
    for start in ("", ", warm start", ", initial rollouts")
)

# Every method at the learning rate of the demo; then where drift does not saturate, and in a pool 32 times the batch;
# then, in shorter runs, what is left of the policy, and batches that come in parts.
LAB: dict[Setting, tuple[Variant, ...]] = {
    Setting("default"): (*_BASELINES, *_SPO, *_OPTIMAL, *_ABLATIONS),
    Setting("lr 1e-4", lr=1e-4): (*_BASELINES, *_RETENTIONS_ALONE),
    Setting("lr 3e-5", lr=3e-5): (*_BASELINES, *_RETENTIONS_ALONE),
    Setting("pool 4096", pool=4096): (
        *_BASELINES,
        *_RETENTIONS_ALONE,
        Variant("spo", "event, published step", "trajectory"),
    ),
    Setting("narrowing", steps=80): _NARROWING,
    Setting("parts", steps=80, parts=4): _PARTS,
    Setting("parts, wrong late", steps=80, parts=4, delay=2.0): _PARTS,
    Setting("sampling"): _SAMPLING,
    Setting("sorting", steps=100, lr=5e-5, prompts=SORTING): _CLAIMS,
    Setting("shift", shift=True): _ADAPTING,
    Setting("staleness 0", batch=64, steps=200, evaluate_every=20): _ADAPTING,
    Setting("staleness 1", batch=64, steps=200, evaluate_every=20, staleness=1): _ADAPTING,
    Setting("staleness 4", batch=64, steps=200, evaluate_every=20, staleness=4): _ADAPTING,
    Setting("staleness 8", batch=64, steps=200, evaluate_every=20, staleness=8): _ADAPTING,
    Setting("real pool", steps=100, prompts="real"): _CHOICES,
    Setting("real pool, 32 batches", steps=100, pool=4096, prompts="real"): _LARGE,
    Setting("real pool, 128 batches", steps=100, pool=16384, prompts="real"): _LARGE,
    Setting("warm start", steps=100, prompts="real"): _STARTS,
    Setting("label noise", steps=100, prompts="noisy"): _CHOICES,
    Setting("rare successes", steps=100, prompts="rare"): _CHOICES,
}

# Real verl and vLLM: the recipes' own settings.
VERL: dict[Setting, tuple[Variant, ...]] = {
    Setting("default", steps=100): (
        Variant("grpo"),
        Variant("spo", "kl", "trajectory"),
        Variant("spo", "drift", "trajectory"),
        Variant("spo", "event", "token"),
        Variant("spo, optimal baseline", "kl", "trajectory"),
    ),
}
