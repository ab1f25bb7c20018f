"""Others who look at the same server: what their browsers ask of it and read, without browsers.

Twenty real ones would measure how fast this machine draws twenty pages. Each of these opens a page, reads all that it
is sent, and looks again as often as the page says, as Streamlit's own front end does.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Semaphore
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

_LARGEST = 1 << 28
_PATIENCE_S = 120


@contextmanager
def looking(count: int, address: str) -> Iterator[None]:
    """Have so many look at a page, from when all have seen it until the block is left.

    Args:
        count: How many.
        address: Of the page, with its query.
    """
    spawn = multiprocessing.get_context("spawn")
    seen = spawn.Semaphore(0)
    process = spawn.Process(target=_open, args=(count, address, seen), daemon=True)
    process.start()
    try:
        for number in range(count):
            if not seen.acquire(timeout=_PATIENCE_S):
                raise RuntimeError(f"{address}: viewer {number + 1} of {count} saw nothing within {_PATIENCE_S} s")
        yield
    finally:
        process.terminate()
        process.join()


def _open(count: int, address: str, seen: Semaphore) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(_look(address, seen) for _ in range(count)))

    asyncio.run(all_of_them())


async def _look(address: str, seen: Semaphore) -> None:
    page = urlsplit(address)
    way, origin = f"ws://{page.netloc}/_stcore/stream", Origin(f"http://{page.netloc}")
    async with connect(way, subprotocols=[Subprotocol("streamlit")], max_size=_LARGEST, origin=origin) as server:
        await _ask(server, address)
        paces: dict[str, asyncio.Task[None]] = {}
        is_seen = False
        async for sent in server:
            message = ForwardMsg.FromString(sent if isinstance(sent, bytes) else sent.encode())
            kind = message.WhichOneof("type")
            if kind == "auto_rerun":
                fragment = message.auto_rerun.fragment_id
                if fragment in paces:
                    paces.pop(fragment).cancel()
                paces[fragment] = asyncio.create_task(_again(server, address, fragment, message.auto_rerun.interval))
            elif kind == "script_finished" and paces and not is_seen:
                is_seen = True
                seen.release()


async def _again(server: ClientConnection, address: str, fragment: str, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await _ask(server, address, fragment)


async def _ask(server: ClientConnection, address: str, fragment: str = "") -> None:
    """Ask for a page, or for a part of it."""
    page = urlsplit(address)
    asked = BackMsg()
    asked.rerun_script.query_string = page.query
    asked.rerun_script.page_name = page.path.strip("/")
    asked.rerun_script.fragment_id = fragment
    asked.rerun_script.is_auto_rerun = bool(fragment)
    await server.send(asked.SerializeToString())
