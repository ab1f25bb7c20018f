"""Policies with samples of a benchmark: their success rates rise with the step, and two scorers have judged them."""

from collections.abc import Sequence

import numpy as np

from verl_spo.config import StoreConfig
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.records import EvaluationInfo, Finish, Origin, PromptRecord, Samples, Verdicts

SETTINGS = {"temperature": 0.6, "top_p": 0.95}


def benchmark_prompts(count: int, source: str = "aime_2024") -> list[PromptRecord]:
    """Distinct problems."""
    return [
        PromptRecord(
            f"{source}{number:04d}".encode().ljust(16, b".")[:16],
            source,
            [{"role": "user", "content": f"How much is {number} times {number}?"}],
            str(number * number),
        )
        for number in range(count)
    ]


def benchmarked(
    url: str,
    run: str | None,
    steps: Sequence[int],
    benchmark: str = "aime_2024",
    problems: int = 12,
    samples: int = 8,
    skill: float = 0.3,
    text: str = "So it is that.",
    model: str = "a/model",
    origin: Origin = Origin.EVALUATION,
) -> list[int]:
    """Evaluate policies of a run, or a model of no run; returns the evaluations' ids.

    Args:
        url: Of the database.
        run: Name of the run, which must be there; None for the model.
        steps: Whose policies.
        benchmark: Its name.
        problems: How many it has.
        samples: Of each problem.
        skill: Mean success rate at step 0.
        text: What every response says before its answer.
        model: Its name.
        origin: Who asked.
    """
    made = []
    with Evaluating(StoreConfig(url=url), run, None if run is None else 1) as store:
        for step in steps:
            asked = EvaluationInfo(
                benchmark, benchmark_prompts(problems, benchmark), samples, step, model, origin, SETTINGS
            )
            number = store.begin(asked)
            answered, verdicts = _answers(asked, skill, text)
            store.add(number, answered)
            store.judge(number, "math_verify", verdicts)
            made.append(number)
    return made


def _answers(asked: EvaluationInfo, skill: float, text: str) -> tuple[Samples, Verdicts]:
    count = len(asked.problems)
    rng = np.random.default_rng([asked.step, count])
    rates = np.clip(np.linspace(skill - 0.3, skill + 0.3, count) + asked.step / 100, 0, 1)
    place, sample = (each.ravel() for each in np.indices((count, asked.wanted)))
    right = rng.random(place.size) < rates[place]
    truths = [str(asked.problems[each].ground_truth) for each in place]
    found = [truth if good else str(-1 - number % 3) for truth, good, number in zip(truths, right, sample, strict=True)]
    # The strict reward wants no blank after the answer, which every eighth right response has.
    strict = right & ~((place + sample) % 8 == 0)
    answered = Samples(
        place=place,
        sample=sample,
        length=rng.integers(50, 900, place.size),
        seed=1000 * place + sample,
        policy_version=np.full(place.size, asked.step),
        reward=strict.astype(float),
        finish=[Finish.LENGTH if number % 16 == 15 else Finish.STOP for number in range(place.size)],
        found=found,
        prompt_text=[f"problem {each}" for each in place],
        response_text=[f"<think>{text}</think> It is \\boxed{{{answer}}}" for answer in found],
    )
    judged = Verdicts(place.tolist(), sample.tolist(), right.astype(float).tolist(), found, found, [False] * place.size)
    return answered, judged
