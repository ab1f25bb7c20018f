"""What a reader keeps of what was read, for all threads that share it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Kept:
    """Some values, those that were used last. While one is renewed, threads wait that want the same one, and no others.

    Args:
        most: How many, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()
        self._lock = threading.Lock()

    def renewed(self, key: Hashable, renew: Callable[[Any], Any]) -> Any:
        """The value of a key, made by `renew` of the one that is kept, None if there is none; it may be the same."""
        with self._lock:
            value = self._values.setdefault(key, _Value())
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        with value.lock:
            value.content = renew(value.content)
            return value.content


class _Value:
    def __init__(self) -> None:
        self.content: Any = None
        self.lock = threading.Lock()
