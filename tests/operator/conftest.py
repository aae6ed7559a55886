"""Tests that await run on the loop that the operator runs on."""

import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return uvloop, whose transports are none of asyncio's classes."""
    return {"uvloop": uvloop.new_event_loop}
