"""How commands and pages alike write what they show."""

import math


def byte_size(count: float) -> str:
    """Such as `12 B`, `3.4 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    place = min(len(units) - 1, max(0, int(math.log(count, 1024)))) if count >= 1 else 0
    return f"{count / 1024**place:.{1 if place else 0}f} {units[place]}"
