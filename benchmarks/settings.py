"""What is run: settings, one table each, and the lines of their tables."""

from lab.loop import Setting
from lab.methods import Variant

RETENTIONS = ("kl", "constant", "event", "drift")
NORMALIZATIONS = ("trajectory", "token", "none")

_BASELINES = (Variant("grpo"), Variant("reinforce++"))
_SPO = tuple(Variant("spo", retention, how) for retention in RETENTIONS for how in NORMALIZATIONS)
# The retention matters little here: two of them show that.
_OPTIMAL = (
    Variant("spo, optimal baseline", "kl", "trajectory"),
    Variant("spo, optimal baseline", "drift", "trajectory"),
    Variant("spo, optimal baseline, uniform sampling", "kl", "trajectory"),
    Variant("spo, optimal baseline, shuffled passes", "kl", "trajectory"),
    Variant("reinforce, optimal baseline"),
)
_ABLATIONS = (
    Variant("spo", "event, published step", "trajectory"),
    Variant("spo, no baseline", "kl", "trajectory"),
    Variant("spo, uniform sampling", "kl", "trajectory"),
    Variant("spo, shuffled passes", "kl", "trajectory"),
)
_RETENTIONS_ALONE = tuple(Variant("spo", retention, "trajectory") for retention in RETENTIONS)

# Every method at the learning rate of the demo; then where drift does not saturate, and in a pool 32 times the batch.
LAB: dict[Setting, tuple[Variant, ...]] = {
    Setting("default"): (*_BASELINES, *_SPO, *_OPTIMAL, *_ABLATIONS),
    Setting("lr 1e-4", lr=1e-4): (*_BASELINES, *_RETENTIONS_ALONE),
    Setting("lr 3e-5", lr=3e-5): (*_BASELINES, *_RETENTIONS_ALONE),
    Setting("pool 4096", pool=4096): (
        *_BASELINES,
        *_RETENTIONS_ALONE,
        Variant("spo", "event, published step", "trajectory"),
    ),
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
