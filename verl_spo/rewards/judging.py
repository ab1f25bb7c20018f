"""One judgement. An answer on which it hangs, crashes or raises is logged and has none; the run goes on."""

import logging
from functools import cache

from verl_spo.errors import ConfigError
from verl_spo.rewards import isolation
from verl_spo.rewards.scorers import Scorer
from verl_spo.rewards.verdicts import Answer, Verdict

_LOG = logging.getLogger(__name__)
_SHOWN_CHARACTERS = 80


def judge(
    scorer: Scorer, answer: Answer, time_limit_s: float, processes: isolation.Processes | None = None
) -> Verdict | None:
    """The verdict with its score as a reward in [0, 1]; None if there is none.

    Args:
        scorer: How to judge.
        answer: What to judge; any text.
        time_limit_s: Seconds of work, of an isolated scorer; waiting for a free process does not count.
        processes: Where an isolated scorer works; by default in the reward worker's.

    Raises:
        ConfigError: What the scorer needs is not installed, or there is no time.
    """
    _check_installed(scorer)
    if not time_limit_s > 0:
        raise ConfigError(f"reward.custom_reward_function.reward_kwargs.time_limit_s={time_limit_s}: must be above 0")
    work = None
    if scorer.isolated:
        work = (processes or isolation.shared(scorer.module)).start("judge", answer, time_limit_s)
    try:
        verdict = work.result() if work is not None else isolation.run(scorer.module, answer)
        return Verdict(scorer.reward(verdict.score), verdict.found)
    # Whatever one answer does to a parser must not end a run.
    except Exception as error:
        _LOG.warning(
            "%s: no judgement, which counts as a failed answer (reward 0): %s, on the answer %s",
            *(scorer.name, why(error), _told(answer)),
        )
        return None


# Looks for files.
_check_installed = cache(Scorer.check_installed)


def why(error: Exception) -> str:
    """An error in one short line that steers no terminal."""
    return f"{type(error).__name__}: {str(error)[:_SHOWN_CHARACTERS]!r}"


def _told(answer: Answer) -> str:
    """An answer in one line that steers no terminal."""
    return (
        f"to data_source={answer.data_source!r} with the ground truth {answer.truth[:_SHOWN_CHARACTERS]!r}: "
        f"{len(answer.response)} characters that end in {answer.response[-_SHOWN_CHARACTERS:]!r}"
    )
