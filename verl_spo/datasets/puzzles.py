"""Problems of reasoning-gym's tasks, which are generated: as many and as hard as one likes."""

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import chain, islice
from typing import Any

from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum, create_dataset

from verl_spo.datasets.prompts import Problem
from verl_spo.errors import DataError

# Draws per problem, before a task counts as exhausted: small ones repeat themselves.
_PATIENCE = 10


def make_problems(tasks: Sequence[str], count: int, seed: int, level: int | None = None) -> list[Problem]:
    """Distinct problems, in equal parts of each task, and in turn. The same arguments give the same problems.

    Args:
        tasks: Names of reasoning-gym's, at least one.
        count: How many in all.
        seed: Of the generators.
        level: Of each task's curriculum, from 0; None for the task's own defaults.

    Raises:
        DataError: There is no such task, it has no such level or not as many distinct problems.
    """
    share, more = divmod(count, len(tasks))
    parts = [_of_task(task, share + (i < more), seed, level) for i, task in enumerate(tasks)]
    longest = max(map(len, parts))
    return list(chain.from_iterable([part[i] for part in parts if i < len(part)] for i in range(longest)))


def _of_task(task: str, count: int, seed: int, level: int | None) -> list[Problem]:
    _check_task(task, level)
    dataset = _generator(task, seed, level, size=max(1, _PATIENCE * count))
    problems = list(islice(_distinct(task, dataset), count))
    if len(problems) < count:
        raise DataError(
            f"--task {task}: only {len(problems)} distinct problems came of {len(dataset)} draws, and {count} are "
            "wanted; ask for fewer, for another --level, or for more tasks"
        )
    return problems


def _check_task(task: str, level: int | None) -> None:
    if task not in DATASETS:
        close = ", ".join(get_close_matches(task, DATASETS)) or ", ".join(sorted(DATASETS))
        raise DataError(f"--task {task}: reasoning-gym has no such task; it has {close}")
    levels = _levels(task)
    if level is not None and not 0 <= level < levels:
        has = f"it has levels 0 to {levels - 1}" if levels else "it has no curriculum, and so no levels"
        raise DataError(f"--task {task}, --level {level}: {has}")


def _levels(task: str) -> int:
    """How many levels any attribute of the task's curriculum has; 0 without a curriculum."""
    if task not in CURRICULA:
        return 0
    return max(len(attribute.levels) for attribute in create_curriculum(task).attributes.values())


def _generator(task: str, seed: int, level: int | None, size: int) -> Any:
    try:
        if level is None:
            return create_dataset(task, seed=seed, size=size)
        curriculum = create_curriculum(task)
        curriculum.set_global_level(level)
        make, _ = DATASETS[task]
        return make(config=curriculum.generate_configuration({"seed": seed, "size": size}))
    # What reasoning-gym's options say of values that do not go together.
    except AssertionError as error:
        raise DataError(
            f"--task {task}: cannot be generated with --seed {seed} and --level {level}: {error}"
        ) from error


def _distinct(task: str, dataset: Any) -> Iterator[Problem]:
    seen = set()
    for draw in range(len(dataset)):
        entry = dataset[draw]
        if entry["question"] not in seen:
            seen.add(entry["question"])
            yield _problem(task, dataset, entry)


def _problem(task: str, dataset: Any, entry: dict[str, Any]) -> Problem:
    """What the task's scorer needs travels as JSON; whether it survives that is tried."""
    if entry["answer"] is None:
        raise DataError(f"--task {task}: has no answers of its own, by which its scorer could be tried; leave it out")
    text, answer = json.dumps(entry, default=_refuse), str(entry["answer"])
    if dataset.score_answer(answer, json.loads(text)) < 1:
        raise DataError(f"--task {task}: its own answer {answer!r} is not right when judged from a file; leave it out")
    return Problem(
        f"reasoning_gym/{task}", str(entry["question"]), answer, "reasoning", extra={"task": task, "entry": text}
    )


def _refuse(value: object) -> Any:
    raise DataError(f"a puzzle has a {type(value).__name__} in it, which no file can hold; leave its task out")
