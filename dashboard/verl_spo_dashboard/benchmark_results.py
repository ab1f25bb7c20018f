"""What pages have of evaluations: read and worked out once, and again only where samples have come.

It imports scipy, by `verl_spo.evaluation`: only pages about benchmarks import it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import streamlit as st

from verl_spo.errors import DataError
from verl_spo.evaluation import judges, stored
from verl_spo.evaluation.comparison import Comparison, compare
from verl_spo.evaluation.evaluated import FIGURES, Evaluated, interval_of
from verl_spo.evaluation.intervals import Interval
from verl_spo.store import Reader, queries
from verl_spo.store.queries import EvaluationRow, RunRow

_SHORT = 24
"""Characters of a setting that is shown."""


@dataclass(frozen=True)
class Policies:
    """A run with its evaluations, or a model of no run."""

    name: str
    rows: Sequence[EvaluationRow]

    def alike(self, benchmark: str, sampled: str, problems: bytes | None = None) -> list[EvaluationRow]:
        """Those of a benchmark that were sampled so, one a step; of the newest set of problems where none is given."""
        found = [row for row in self.rows if row.benchmark == benchmark and sampling(row) == sampled]
        if not found:
            return []
        digest = problems or max(found, key=lambda row: row.started_at).problems_digest
        return list({row.step: row for row in found if row.problems_digest == digest}.values())


@dataclass
class Found:
    """The evaluations that one browser tab has read."""

    rows: dict[int | None, list[EvaluationRow]] = field(default_factory=dict)

    def of(self, database: Reader, run_id: int | None) -> list[EvaluationRow]:
        """Those of a run, or of models of no run, that have samples; only what is new is counted."""
        known = self.rows.get(run_id, [])
        self.rows[run_id] = queries.evaluations(database, run_id, known=known)
        return [row for row in self.rows[run_id] if row.samples]


def found(database: Reader) -> Found:
    """What this tab has read so far; nothing yet if the database is another one than before."""
    held = st.session_state.get("evaluations")
    if not held or held[0] is not database:
        held = st.session_state["evaluations"] = (database, Found())
    kept: Found = held[1]
    return kept


def policies(database: Reader, runs: Iterable[RunRow], models: Sequence[str]) -> list[Policies]:
    """Runs, then models of no run, with their evaluations; those without any are left out."""
    kept = found(database)
    of_runs = [Policies(run.name, kept.of(database, run.id)) for run in runs]
    others = kept.of(database, None) if models else []
    of_models = [Policies(name, [row for row in others if row.model == name]) for name in models]
    return [each for each in (*of_runs, *of_models) if each.rows]


def sampling(row: EvaluationRow) -> str:
    """How an evaluation was made, in one short line; long settings, such as templates, are told apart by a digest."""
    said = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in sorted(row.settings.items())
    }
    options = [f"{name} {text}" for name, text in said.items() if len(text) <= _SHORT]
    if rest := [[name, text] for name, text in said.items() if len(text) > _SHORT]:
        options.append(f"others {blake2b(json.dumps(rest).encode(), digest_size=3).hexdigest()}")
    return f"{row.origin}: {', '.join(options)}" if options else row.origin


def scorers(database: Reader, row: EvaluationRow) -> list[str]:
    """Who has judged all answers of an evaluation, the default one first."""
    names = judges.judges(row, _scorers(database, row.id, row.started_at, row.answered))
    default = judges.default_scorer([names])
    return sorted(names, key=lambda name: (name != default, name))


def evaluated(database: Reader, row: EvaluationRow, scorer: str) -> Evaluated:
    """An evaluation as a scorer sees it.

    Raises:
        DataError: Samples are missing, or the scorer has not judged all of them.
    """
    return _evaluated(database, row, row.id, row.started_at, row.samples, row.answered, scorer)


def all_evaluated(
    database: Reader, rows: Iterable[EvaluationRow], scorer: str
) -> tuple[list[Evaluated], list[EvaluationRow]]:
    """Evaluations as a scorer sees them, and those that are not answered and judged to their end."""
    whole, unfinished = [], []
    for row in rows:
        try:
            whole.append(evaluated(database, row, scorer))
        except DataError:
            unfinished.append(row)
    return whole, unfinished


def estimate(one: Evaluated, figure: str, k: int) -> Interval:
    """A figure over an evaluation's problems, of k samples each, with its 95 % interval."""
    return _estimate(one, *_key(one), figure, k)


def difference(after: Evaluated, before: Evaluated, k: int) -> list[Comparison]:
    """Every figure of two policies on the same problems, paired by problem.

    Raises:
        DataError: The problems differ.
    """
    return _difference(after, before, _key(after), _key(before), k)


def published_of(figure: str, k: int, tables: Mapping[str, Mapping[str, float]], benchmark: str) -> dict[str, float]:
    """The published figures that may stand beside a figure: the paper's are of the majority of 32 samples."""
    if figure not in ("maj@", "verl_maj@") or k != 32:
        return {}
    return {f"{method}, published": table[benchmark] for method, table in tables.items() if benchmark in table}


def _key(one: Evaluated) -> tuple[int, float, int, int, str]:
    row = one.row
    return row.id, row.started_at, row.samples, row.answered, one.results.scorer


@st.cache_data(max_entries=4096, show_spinner=False, ttl=10)
def _scorers(_database: Reader, number: int, started_at: float, answered: int) -> dict[str, int]:
    return queries.evaluation_scorers(_database, number)


@st.cache_resource(max_entries=1024, show_spinner=False)
def _evaluated(
    _database: Reader, _row: EvaluationRow, number: int, started_at: float, samples: int, answered: int, scorer: str
) -> Evaluated:
    return stored.read(_database, _row, scorer)


@st.cache_data(max_entries=16_384, show_spinner=False)
def _estimate(
    _one: Evaluated, number: int, started_at: float, samples: int, answered: int, scorer: str, figure: str, k: int
) -> Interval:
    return interval_of([FIGURES[figure](_one.results, k)])


@st.cache_data(max_entries=256, show_spinner=False)
def _difference(
    _after: Evaluated, _before: Evaluated, after: tuple[object, ...], before: tuple[object, ...], k: int
) -> list[Comparison]:
    return compare([_after], [_before], k)
