"""What the chat service costs: `python -m bench.service --rounds N`, one process on loopback with the simulator as upstream.

CPU is the service's own (user + system, as the kernel accounts it), so that it stays comparable on a shared machine; latency is what the
service adds to the simulator's own, measured in turn in the same round.
"""

import argparse
import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp

COMMANDS = Path(sys.executable).parent
REQUESTS = 200
EVENTS = 200
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0
UPSTREAM_BODY = {"model": "claude-sonnet-5-5", "max_tokens": 1024, "messages": [{"role": "user", "content": "How are you?"}]}
UPSTREAM_HEADERS = {"x-api-key": "bench", "anthropic-version": "2026-10-21"}


class Process:
    """A command of ours with its accounting; of this shell's environment it sees nothing that could change its figures."""

    def __init__(self, name: str, *arguments: str, environment: dict[str, str]) -> None:
        self._popen = subprocess.Popen(  # noqa: S603
            [COMMANDS / name, *arguments],
            env={"PATH": os.environ["PATH"]} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def cpu_milliseconds(self) -> float:
        """Return what the process has used so far."""
        fields = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / TICKS_PER_SECOND

    def memory_mebibytes(self) -> float:
        """Return its resident memory."""
        status = Path(f"/proc/{self._popen.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def first_line(self) -> str:
        """Wait for the first line that it prints."""
        assert self._popen.stdout is not None  # noqa: S101  it was asked for
        return self._popen.stdout.readline()

    def has_ended(self) -> bool:
        """Say whether it ended by itself."""
        return self._popen.poll() is not None

    def end(self) -> None:
        """Ask it to go and wait until it has."""
        self._popen.terminate()
        self._popen.communicate(timeout=30)


async def _until_answered(client: aiohttp.ClientSession, url: str, *, by: Process) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if by.has_ended():
            sys.exit(f"bench: the service ended: {by.first_line().strip()}")
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with client.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
                if response.ok:
                    return
        await asyncio.sleep(0.01)
    message = f"{url} did not answer 200 within {START_SECONDS} s"
    raise TimeoutError(message)


async def _chat(client: aiohttp.ClientSession, url: str, *, stream: bool) -> int:
    async with client.post(f"{url}/api/chat", json={"message": "How are you?", "stream": stream}) as response:
        response.raise_for_status()
        return (await response.read()).count(b"event: delta")


async def _ask_upstream(client: aiohttp.ClientSession, url: str) -> None:
    async with client.post(f"{url}/v1/messages", json=UPSTREAM_BODY, headers=UPSTREAM_HEADERS) as response:
        response.raise_for_status()
        await response.read()


async def _latencies_milliseconds(call: Callable[[], Awaitable[object]], *, times: int) -> list[float]:
    measured = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        measured.append((time.perf_counter() - start) * 1000)
    return measured


@contextlib.asynccontextmanager
async def _running(
    client: aiohttp.ClientSession, figures: dict[str, float], ports: tuple[int, int]
) -> AsyncIterator[tuple[Process, str, str]]:
    simulator = Process("anthropic-simulator", "--port", "0", environment={})
    try:
        found = re.search(r"http://[\w.:]+", simulator.first_line())
        if found is None:
            message = "the simulator did not say where it listens"
            raise RuntimeError(message)
        upstream = found[0]
        port, admin_port = ports
        environment = {"PORT": str(port), "ADMIN_PORT": str(admin_port), "ANTHROPIC_BASE_URL": upstream, "ANTHROPIC_API_KEY": "bench"}
        environment |= {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "error"}
        service = Process("chatbot-service", environment=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            await _until_answered(client, f"{url}/health/live", by=service)
            figures["CPU to live (ms)"] = service.cpu_milliseconds()
            await _until_answered(client, f"{url}/health/ready", by=service)
            figures["CPU to ready (ms)"] = service.cpu_milliseconds()
            figures["memory when ready (MiB)"] = service.memory_mebibytes()
            yield service, url, upstream
        finally:
            service.end()
    finally:
        simulator.end()


async def measure(ports: tuple[int, int]) -> dict[str, float]:
    """Return one round's figures by name."""
    figures: dict[str, float] = {}
    async with aiohttp.ClientSession(trust_env=False) as client, _running(client, figures, ports) as (service, url, upstream):
        await _latencies_milliseconds(lambda: _chat(client, url, stream=False), times=20)
        direct = await _latencies_milliseconds(lambda: _ask_upstream(client, upstream), times=REQUESTS)
        before = service.cpu_milliseconds()
        through = await _latencies_milliseconds(lambda: _chat(client, url, stream=False), times=REQUESTS)
        figures["CPU a request (ms)"] = (service.cpu_milliseconds() - before) / REQUESTS
        figures["added latency p50 (ms)"] = statistics.median(through) - statistics.median(direct)
        figures["added latency p99 (ms)"] = statistics.quantiles(through, n=100)[98] - statistics.quantiles(direct, n=100)[98]
        async with client.put(f"{upstream}/_simulator/behaviour", json={"events": EVENTS, "pace": "5ms"}) as response:
            response.raise_for_status()
        before = service.cpu_milliseconds()
        events = sum(await asyncio.gather(*(_chat(client, url, stream=True) for _ in range(20))))
        figures["CPU a streamed event (ms)"] = (service.cpu_milliseconds() - before) / events
        figures["memory at the end (MiB)"] = service.memory_mebibytes()
    return figures


def main() -> None:
    """Print a Markdown table of every figure's lowest, median and highest value over the rounds."""
    parser = argparse.ArgumentParser(prog="bench.service", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--port", type=int, default=18080, help="the service's port; its admin port is the next one")
    arguments = parser.parse_args()
    rounds = [asyncio.run(measure((arguments.port, arguments.port + 1))) for _ in range(arguments.rounds)]
    print(f"| chatbot-service, {arguments.rounds} rounds of {REQUESTS} requests | min | median | max |\n|---|---|---|---|")
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        print(f"| {name} | {min(values):.2f} | {statistics.median(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
