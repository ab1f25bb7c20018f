"""What a line of the tables is about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """One variant of a method: a line of the tables.

    Attributes:
        method: One of `groups.METHODS` or `single.METHODS`; or `spo` followed by what is changed of it:
            `, optimal baseline`, `, no baseline`, `, uniform sampling`, `, epochs`, `, even draws`; of a batch
            in parts `, each part alone` or `, whole batch`: what the advantages are normalized over; `, warm start` or
            `, initial rollouts`: what the tracker starts from.
        retention: SPO's, or `event, published step`; None for the others.
        normalization: SPO's; None for the others.
    """

    method: str
    retention: str | None = None
    normalization: str | None = None

    @property
    def is_spo(self) -> bool:
        """Whether it is SPO, whole or in part."""
        return self.method.startswith("spo")

    @property
    def baseline(self) -> str:
        """SPO's option."""
        return "optimal" if "optimal baseline" in self.method else "value"

    @property
    def sampling(self) -> str:
        """SPO's option."""
        return "even" if "even draws" in self.method else "uniform" if "uniform" in self.method else "prioritized"

    @property
    def init(self) -> str:
        """SPO's option."""
        return "run" if "warm start" in self.method else "rollouts" if "initial rollouts" in self.method else "prior"
