"""reasoning-gym's tasks, each of which judges its own answers: many puzzles have more than one right answer."""

import json
import re
from functools import cache
from typing import Any, cast

from reasoning_gym.factory import get_score_answer_fn

from verl_spo.errors import DataError
from verl_spo.rewards.verdicts import Answer, Verdict

_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


def judge(answer: Answer) -> Verdict:
    """What the task gives for the text in the last `<answer>` tags, or for the whole response if it has none.

    Raises:
        DataError: The row does not say which task it is of.
    """
    task, entry = answer.extra.get("task"), answer.extra.get("entry")
    if not isinstance(task, str) or not isinstance(entry, str):
        raise DataError("extra_info has no 'task' and 'entry'; make the rows with `verl-spo data reasoning-gym`")
    tagged = _TAGGED.findall(answer.response)
    found = (tagged[-1] if tagged else answer.response).strip()
    return Verdict(float(_score_of(task)(found, json.loads(entry))), found)


@cache
def _score_of(task: str) -> Any:
    return cast(Any, get_score_answer_fn(task))
