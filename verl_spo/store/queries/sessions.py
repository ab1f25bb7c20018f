"""How long sessions took."""

import numpy as np
from sqlalchemy import select

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries import window
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.records import FloatArray
from verl_spo.store.schema import Attempt, Observation


def session_seconds(reader: Reader, run_id: int) -> FloatArray:
    """Seconds of a run's newest sessions (`window.MOST_OBSERVATIONS`), superseded ones and those not known left out."""
    with reader.connect() as connection:
        query = (
            select(Observation.seconds)
            .join(Attempt, of_attempt(Observation))
            .where(
                Observation.run_id == run_id,
                Observation.step >= window.first_step(connection, run_id),
                Observation.seconds.is_not(None),
                counts(Observation),
            )
        )
        return np.array(connection.execute(query).scalars().all(), dtype=np.float64)
