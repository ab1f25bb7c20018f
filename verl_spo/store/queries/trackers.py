"""A whole tracker, for runs that begin where another one stands (`spo.init=run`)."""

from sqlalchemy import select

from verl_spo.store import tracker as tables
from verl_spo.store.database.reader import Reader
from verl_spo.store.schema import InitScore, Prompt, Run
from verl_spo.store.tracker import TrackerSnapshot


def tracker(reader: Reader, run_id: int) -> TrackerSnapshot:
    """A run's value tracker after its last step, with each prompt's digest."""
    with reader.connect() as connection:
        clock = connection.execute(select(Run.clock).where(Run.id == run_id)).scalar_one()
        return tables.read(connection, run_id, clock)


def init_scores(reader: Reader, run_id: int) -> dict[bytes, tuple[int, float]]:
    """Scores from before training, by the prompt's digest: how many responses, and the sum of their rewards."""
    query = (
        select(Prompt.digest, InitScore.responses, InitScore.reward_sum)
        .join(Prompt, Prompt.id == InitScore.prompt_id)
        .where(InitScore.run_id == run_id)
    )
    with reader.connect() as connection:
        return {bytes(row.digest): (row.responses, row.reward_sum) for row in connection.execute(query)}
