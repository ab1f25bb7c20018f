"""What a run does before its first step ends, told to the store for those who wait."""

import logging

from verl_spo.errors import StoreError
from verl_spo.store.database.connections import writing
from verl_spo.store.runs import starts
from verl_spo.training import launcher

_log = logging.getLogger(__name__)


def report(store_url: str, run_name: str, phase: str) -> None:
    """Tell of a phase, if `verl-spo train` has registered the run; a database that is away stops nothing."""
    if (starter := launcher.starter()) is None:
        return
    try:
        with writing(store_url) as engine:
            starts.report(engine, run_name, starter, phase)
    except StoreError as error:
        _log.warning("the phase %r cannot be shown: %s", phase, error)
