"""What a run took a prompt's success rate to be before an outcome of it."""

from sqlalchemy import Connection, SQLColumnExpression, and_, case, select

from verl_spo.store.schema import Attempt, Observation, Run

# Evidence that a quotient can be taken of.
_LEAST = 1e-6


def value_before(connection: Connection, run_id: int) -> SQLColumnExpression[float | None]:
    """v_hat when the prompt of an observation was drawn; NULL where it is not known.

    That is the baseline, unless `spo.baseline` is another one. Then it is worked out: what is stored is faded alpha + r
    and faded beta + 1 - r. Where a step had several outcomes of the prompt, the others are in it too; what that takes
    out of [0, 1] is not known.
    """
    option = (
        select(Attempt.config[("spo", "baseline")].as_string())
        .join(Run, and_(Run.id == Attempt.run_id, Run.attempt == Attempt.attempt))
        .where(Run.id == run_id)
    )
    if connection.execute(option).scalar() in (None, "value"):
        return Observation.baseline
    evidence = Observation.alpha + Observation.beta - 1
    value = (Observation.alpha - Observation.reward) / evidence
    return case((and_(evidence > _LEAST, value.between(-_LEAST, 1 + _LEAST)), value))
