"""A Ray job from here: its output as it comes, its end, and the signals that stop it."""

import asyncio
import logging
import signal
from typing import Any

from verl_spo.errors import LaunchError
from verl_spo.launching.processes import SIGNALS

_log = logging.getLogger(__name__)

POLL_S = 2.0

_FAILED = 1


class Following:
    """Follows a job to its end.

    The first signal stops the job, which ends its step and saves a checkpoint, whoever stops it and however
    (`processes.run`, `deaf`). A second one leaves it alone.
    """

    def __init__(self, client: Any, job: str, poll_s: float = POLL_S) -> None:
        """
        Args:
            client: `ray.job_submission.JobSubmissionClient`, or what does the same.
            job: The submission's id.
            poll_s: Seconds between two questions whether it has ended.
        """
        self._client = client
        self._job = job
        self._poll_s = poll_s
        self._signal = 0
        self._left = asyncio.Event()

    def to_the_end(self) -> int:
        """Print the job's output until it ends; returns an exit status, as of a run here.

        Raises:
            LaunchError: The job server does not answer any more.
        """
        return asyncio.run(self._follow())

    async def _follow(self) -> int:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._receive, number)
        end, left = loop.create_task(self._ended()), loop.create_task(self._left.wait())
        await asyncio.wait({end, left}, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if end.done():
            return self._status(end.result())
        end.cancel()
        _log.warning("job %s is left to itself; `ray job status %s` says what became of it", self._job, self._job)
        return 128 + self._signal

    async def _ended(self) -> Any:
        """What the server says of the job once it is over."""
        await self._show()
        while not (details := self._ask()).status.is_terminal():
            await asyncio.sleep(self._poll_s)
        return details

    async def _show(self) -> None:
        from aiohttp import ClientError

        try:
            async for text in self._client.tail_job_logs(self._job):
                print(text, end="", flush=True)
        except (ClientError, OSError, RuntimeError) as error:
            _log.warning("the output of job %s cannot be followed any more (%s); it goes on", self._job, error)

    def _ask(self) -> Any:
        try:
            return self._client.get_job_info(self._job)
        except (OSError, RuntimeError) as error:
            raise LaunchError(
                f"job {self._job}: the job server does not answer any more ({error}); the job may be alive"
            ) from error

    def _receive(self, number: int) -> None:
        if self._signal:
            self._left.set()
            return
        self._signal = number
        name = signal.Signals(number).name
        _log.warning("%s: the job ends its step, saves a checkpoint and stops; a second signal leaves it alone", name)
        try:
            self._client.stop_job(self._job)
        except (OSError, RuntimeError) as error:
            _log.error("job %s: the job server does not take the request to stop (%s)", self._job, error)

    def _status(self, details: Any) -> int:
        if details.status == "STOPPED":
            return 128 + (self._signal or signal.SIGTERM)
        if details.status == "SUCCEEDED":
            return 0
        if details.driver_exit_code is None:
            _log.error("job %s: %s", self._job, details.message)
        return details.driver_exit_code or _FAILED
