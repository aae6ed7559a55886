"""A program of its own, so that what it costs is not measured as the service's delay: so many clients that send a byte now and then.

    python -m tests.soak.slow_senders PORT NUMBER

Half of them send heads, half bodies. Who is refused comes again. Says `sending` when all have begun.
"""

import asyncio
import itertools
import sys
from contextlib import suppress

SECONDS_A_BYTE = 0.5
HEAD = b"POST /api/chat HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
LENGTH = b"content-length: 10000\r\n\r\n"


async def send_for_ever(port: int, begin: bytes, *, begun: asyncio.Event) -> None:
    """Send `begin` at once and anything else slowly."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begin)
            begun.set()
            while not writer.is_closing():
                await asyncio.sleep(SECONDS_A_BYTE)
                writer.write(b"x")
                await writer.drain()


async def main(port: int, number: int) -> None:
    """Send until the process is ended."""
    begins = itertools.islice(itertools.cycle((HEAD + b"x-", HEAD + LENGTH)), number)
    begun = [asyncio.Event() for _ in range(number)]
    async with asyncio.TaskGroup() as group:
        for begin, event in zip(begins, begun, strict=True):
            group.create_task(send_for_ever(port, begin, begun=event))
            await asyncio.sleep(SECONDS_A_BYTE / number)
        for event in begun:
            await event.wait()
        print("sending", flush=True)  # noqa: T201  to who started it


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
