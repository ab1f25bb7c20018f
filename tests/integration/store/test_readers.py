"""Eight processes read while one run is written at full rate: nobody fails, and nobody sees half a step."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from tests.support.crashing import processes
from tests.support.stores import BATCH, Training, start
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import Cursor
from verl_spo.store.runs.status import Status

READERS = 8
STEPS = 300
OVERLAP = 3
"""Moments of a run that is being written that each reader sees at the least."""


def poll(url: str, report: Connection) -> None:
    """Read like a page until the run has ended; report when it was seen in writing, and at the end the steps."""
    cursor, steps, moments = Cursor(), [], set()
    with open_reader(url) as reader:
        report.send("ready")
        status = "running"
        while status == "running":
            run = queries.run(reader, "demo/spo").run
            status = run.status
            if status == "running" and len(moments) < OVERLAP:
                moments.add(run.last_step)
                if len(moments) == OVERLAP:
                    report.send("in writing")
            page = queries.metric_series(reader, [1], ["spo/reward"], cursor)
            cursor = page.cursor
            steps += [step for series in page.series for step in series.steps.tolist()]
            _check_moment(reader)
    report.send(steps)


def _check_moment(reader: Any) -> None:
    """In one moment, all that is known of a run is of one step."""
    with reader.connect(snapshot=True) as connection:

        def scalar(statement: str) -> Any:
            return connection.exec_driver_sql(statement).scalar_one()

        last = scalar("SELECT last_step FROM runs")
        assert scalar("SELECT count(*) FROM observations") == last * BATCH
        assert scalar("SELECT count(*) FROM step_summaries") == last
        assert scalar("SELECT sum(visits) FROM tracker_state") == last * BATCH
        assert scalar("SELECT max(last_step) FROM tracker_state") == last


def test_readers_and_the_writer_do_not_disturb_each_other(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    readers = [_begin(poll, database_url) for _ in range(READERS)]
    for _, report in readers:
        assert report.recv() == "ready"
    waiting = [report for _, report in readers]
    while waiting or training.step < STEPS:
        writer.submit(training.advance())
        for report in [report for report in waiting if report.poll()]:
            assert report.recv() == "in writing"
            waiting.remove(report)
    writer.close(Status.FINISHED, timeout=120)
    for child, report in readers:
        steps = report.recv()
        child.join()
        assert child.exitcode == 0
        # Whatever a reader saw came in order, without a gap, and to the end.
        assert steps == list(range(1, training.step + 1))


def _begin(target: Callable[[str, Connection], None], url: str) -> tuple[Any, Connection]:
    receiver, sender = processes.Pipe(duplex=False)
    child = processes.Process(target=target, args=(url, sender))
    child.start()
    sender.close()
    return child, receiver
