"""What judging a benchmark's samples costs: the paper's 220 problems with 32 samples each.

    python -m benchmarks.scoring [--problems 220] [--samples 32] [--processes N] [--scorers math_verify ...]

Responses like those of a model that thinks: formulas, sums and prose of about 2,000 characters, every tenth of 20,000,
and a box. Three quarters of the problems have whole numbers as answers, the others fractions and roots, written in
several ways. One sample in sixteen has no box, which takes Math-Verify longest. Time is what passes from the first
sample to the last vote, start of the processes included; `cpu_s` is the processor time of all of them, which other
programs on the machine do not lengthen.
"""

import argparse
import json
import os
import random
import resource
import time
from collections.abc import Iterator

from verl_spo.evaluation.scoring import Sample, score

_SENTENCES = (
    "Let us consider the case $n = {a}$; then $x^2 + {b}x - \\frac{{{a}}}{{{b}}} = 0$, so that we get ",
    "Wait, I should check whether \\( {a} \\cdot {b} = {c} \\) holds. ",
    "Hence the sum is $$\\sum_{{k=1}}^{{{a}}} k^2 = {c}.$$\n\n",
    "So the total number of ways is {a} times {b}, which gives {c} in this case.\n",
)
_ROOTS = (r"3\sqrt{2}", r"\sqrt{18}", r"\frac{6}{\sqrt{2}}", r"3\sqrt 2", r"\frac{7}{3}", r"\dfrac73", "7/3")
_LENGTHS = (*[2000] * 9, 20_000)


def main() -> None:
    """Measure, and print an object of JSON per scorer."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=220)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--scorers", nargs="*", default=["math_verify", "math_dapo", "reference"])
    given = parser.parse_args()
    samples = list(written(given.problems, given.samples))
    for scorer in given.scorers:
        print(json.dumps({"scorer": scorer, **measure(samples, scorer, given.processes)}), flush=True)


def measure(samples: list[Sample], scorer: str, processes: int) -> dict[str, float]:
    """All samples, judged once."""
    started, worked = time.perf_counter(), _processor_s()
    judged = [each for problem in score(samples, scorer, processes=processes) for each in problem]
    return {
        "samples": len(judged),
        "answers": len({(each.problem, each.found) for each in judged if each.found}),
        "classes": len({(each.problem, each.vote) for each in judged if each.vote}),
        "failed": sum(each.failed for each in judged),
        "s": round(time.perf_counter() - started, 1),
        "cpu_s": round(_processor_s() - worked, 1),
    }


def written(problems: int, samples: int) -> Iterator[Sample]:
    """Samples as a model might write them; the same each time."""
    rng = random.Random(0)
    for problem in range(problems):
        whole = problem % 4 > 0
        truth = str(rng.randrange(1000)) if whole else _ROOTS[0]
        wrong = [str(rng.randrange(1000)) for _ in range(6)] if whole else [*_ROOTS, r"\pi", "x+1", "1+x"]
        for number in range(samples):
            answer = truth if rng.random() < 0.6 else rng.choice(wrong)
            box = "unknown." if rng.random() < 1 / 16 else rf"$\boxed{{{answer}}}$."
            thought = _thought(rng.choice(_LENGTHS), rng)
            yield Sample(problem, number, f"{thought}\n</think>\n\nSo the answer is {box}", truth, "benchmark")


def _thought(characters: int, rng: random.Random) -> str:
    text = ""
    while len(text) < characters:
        a, b = rng.randrange(2, 99), rng.randrange(2, 99)
        text += rng.choice(_SENTENCES).format(a=a, b=b, c=a * b)
    return text


def _processor_s() -> float:
    """Of this process, and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
