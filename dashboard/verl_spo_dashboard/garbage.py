"""What the server keeps for good is not looked through again and again for what can be thrown away."""

import gc
from functools import cache


@cache
def spare(page: str) -> None:
    """Leave out what the first run of a page has loaded: to go through all of it stops every reader for 0.1 s.

    Args:
        page: Its path; each has modules of its own.
    """
    # What is thrown away now is not kept for ever.
    gc.collect()
    gc.freeze()
