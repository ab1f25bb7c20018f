"""What a tiny model is made by."""

import math
from dataclasses import dataclass

from verl_spo.errors import DataError

_COUNTS = ("steps", "batch_size", "hidden_size", "intermediate_size", "layers", "vocabulary_multiple", "threads")


@dataclass(frozen=True)
class Recipe:
    """What determines the model, beside the prompts that it must not see.

    Attributes:
        seed: Of the initial weights and of the training problems. At least 0.
        steps: Of training. At least 1.
        batch_size: Problems a step. At least 1.
        lr: Peak learning rate of AdamW: it warms up, then falls along a cosine. Above 0.
        slip: How often the answers shown forget a carry, in [0, 1].
        hidden_size: Width of the model. At least 1.
        intermediate_size: Width of its feed-forward layers. At least 1.
        layers: Depth of the model. At least 1.
        vocabulary_multiple: The vocabulary's size is one of these multiples, for ranks that share it. At least 1.
        threads: torch threads. Sums in another order give other weights, so this is no detail. At least 1.
    """

    seed: int = 0
    steps: int = 700
    batch_size: int = 128
    lr: float = 4e-3
    slip: float = 0.6
    hidden_size: int = 128
    intermediate_size: int = 256
    layers: int = 2
    vocabulary_multiple: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise DataError(f"seed {self.seed}: must be at least 0")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise DataError(f"{name} {getattr(self, name)}: must be at least 1")
        if not 0 < self.lr < math.inf:
            raise DataError(f"lr {self.lr}: must be above 0 and finite")
        if not 0 <= self.slip <= 1:
            raise DataError(f"slip {self.slip}: must lie in [0, 1]")
