"""Wait for a condition, not for luck."""

import time
from collections.abc import Callable

LONGEST_S = 1200
"""What one run of real verl may take on a machine that is slow and that others use, too."""
STOP_S = 300
"""What its stop may take there, with a step and a checkpoint before."""


def wait_until(condition: Callable[[], object], timeout: float, every: float = 0.2) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: It did not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting after {timeout} s: {condition}")
        time.sleep(every)
