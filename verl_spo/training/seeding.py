"""Where the seed of a sampled response comes from.

In training it is the request: SPO's request identities are reproducible (core/spo.py), so a run that is resumed
continues as one that never stopped would have. verl's own `full_determinism` gives every request the same seed, and so
every visit to a prompt the same noise. Where benchmarks are answered, for which verl makes up a `uid` each time, it is
the problem: its noise stays, and two validations differ by the policy alone.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

FIELD = "spo_problem"
"""What a row of a validation set says of its problem (benchmarks.py)."""


def request_seed(request: Mapping[str, Any]) -> int:
    """A seed for vLLM's sampler, in [0, 2 ** 31), from what verl passes to an agent loop."""
    return seed_of(request.get(FIELD, request["uid"]), request["session_id"])


def seed_of(source: str, session: int) -> int:
    """The same of a `uid` or of a problem's label, and the number of the session."""
    return int.from_bytes(blake2b(f"{source}/{session}".encode(), digest_size=4).digest()) >> 1
