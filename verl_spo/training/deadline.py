"""A bound on calls that may never return."""

from collections.abc import Callable
from threading import Thread
from typing import Any

from verl_spo.errors import SPOError


class DeadlineError(SPOError, TimeoutError):
    """A call did not return in time."""


def within(seconds: float, option: str, what: str, call: Callable[[], Any]) -> Any:
    """Return `call()`, or raise when it takes longer than `seconds`.

    The call goes on in a daemon thread, which ends with the process: the caller is expected to end the run.

    Raises:
        DeadlineError: The deadline passed; the message names `option`, which holds it.
    """
    results: list[Any] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=target, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise DeadlineError(f"{what}: no answer within {option}={seconds:g} s; the worker's log says why")
    if errors:
        raise errors[0]
    return results[0]
