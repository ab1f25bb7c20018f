"""What the SPO paper reports: maj@32 of Qwen3-8B after training on DAPO-Math-17k ([SPO] table 1), in [0, 1]."""

GRPO = {"aime_2024": 0.833, "aime_2025": 0.721, "beyondaime": 0.456, "brumo_2025": 0.567, "hmmt_feb_2025": 0.442}
SPO = {"aime_2024": 0.840, "aime_2025": 0.765, "beyondaime": 0.469, "brumo_2025": 0.640, "hmmt_feb_2025": 0.475}

SAMPLES = 32
"""Per problem, at temperature 0.6, top-p 0.95, top-k 20, with tools."""


def mean_of(figures: dict[str, float], benchmarks: list[str]) -> float | None:
    """The mean over sets, each counting alike; None where one of them was not published."""
    known = [figures[name] for name in benchmarks if name in figures]
    return sum(known) / len(known) if len(known) == len(benchmarks) and known else None
