"""Imports that would hold up the ports: each in a thread of its own, awaited."""

import asyncio
import contextlib
import importlib
import threading
from types import ModuleType


async def import_in_thread(name: str) -> ModuleType:
    """Import a slow module without holding up the ports; the thread dies with the process, whatever it is at."""
    loop = asyncio.get_running_loop()
    imported: asyncio.Future[ModuleType] = loop.create_future()

    def settle(result: ModuleType | BaseException) -> None:
        if imported.done():
            return
        if isinstance(result, BaseException):
            imported.set_exception(result)
        else:
            imported.set_result(result)

    def work() -> None:
        try:
            result: ModuleType | BaseException = importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001  handed to the waiting task
            result = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, name="import", daemon=True).start()
    return await imported
