"""What a running process is at: its stacks, the code that it spends its time in, the memory that it takes up. For people, as text.

Shows files, lines and names of functions, and never a variable, which may hold a prompt or a key.
"""

import asyncio
import signal
import sys
import threading
import tracemalloc
from collections import Counter
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any

MAX_FRAMES = 60
MAX_STACKS = 200
MAX_FUNCTIONS = 100
MAX_ALLOCATIONS = 50
ALLOCATION_FRAMES = 12
SAMPLE_SECONDS = 0.01

Stack = tuple[tuple[CodeType, int], ...]
"""Functions and the lines that they are at, from the outermost to the innermost."""
Samples = Counter[Stack]


def stacks() -> str:
    """Return the stack of every thread and of every task of the running loop, tasks at the same place told once."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    blocks = [f"thread {names.get(ident, ident)}\n{_lines(_callers(frame))}" for ident, frame in sys._current_frames().items()]  # noqa: SLF001  the documented way
    tasks = Counter(_awaited(task.get_coro()) for task in asyncio.all_tasks())
    blocks += [f"{number} tasks\n{_lines(stack)}" for stack, number in tasks.most_common(MAX_STACKS)]
    return "\n\n".join(blocks) + "\n"


async def profile(seconds: float) -> Samples:
    """Return where the main thread used the CPU for so many seconds: a sample for each hundredth of a second of CPU time.

    Needs the main thread. An idle process has no samples, and a busy one is not slowed down.
    """
    samples: Samples = Counter()

    def sample(_number: int, frame: FrameType | None) -> None:
        samples[_callers(frame)] += 1

    signal.signal(signal.SIGPROF, sample)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
    try:
        await asyncio.sleep(seconds)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # by default a late one would end the process
    return samples


def collapsed(samples: Samples) -> str:
    """Return `samples` as flame graph programs read them: a stack a line, the outermost function first, and its count."""
    counts: Counter[str] = Counter()
    for stack, number in samples.items():
        counts[";".join(_name(code) for code, _ in stack)] += number
    return "".join(f"{stack} {number}\n" for stack, number in counts.most_common())


def table(samples: Samples) -> str:
    """Return the functions that `samples` were taken in, by what they used themselves, and with what they called."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, number in samples.items():
        names = [_name(code) for code, _ in stack]
        own[names[-1]] += number
        total.update(dict.fromkeys(names, number))
    lines = [f"{own[name]:6} {total[name]:6}  {name}" for name in sorted(total, key=lambda name: (-own[name], -total[name]))]
    every = samples.total()
    return (
        "\n".join([f"{every} samples, one for each {SAMPLE_SECONDS} s of CPU time", "   own  total  function", *lines[:MAX_FUNCTIONS]])
        + "\n"
    )


async def heap(seconds: float) -> str:
    """Return what was allocated within so many seconds and is still there, by the stack that allocated it.

    Tracing makes allocations dearer while it lasts. With PYTHONTRACEMALLOC set it shows what was allocated since the start.
    """
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start(ALLOCATION_FRAMES)
    try:
        await asyncio.sleep(seconds)
        return await asyncio.to_thread(_allocations)
    finally:
        if not traced:
            tracemalloc.stop()


def _allocations() -> str:
    statistics = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, tracemalloc.__file__)]).statistics("traceback")
    size, count = sum(statistic.size for statistic in statistics), sum(statistic.count for statistic in statistics)
    blocks = [f"{size} bytes in {count} blocks"]
    for statistic in statistics[:MAX_ALLOCATIONS]:
        lines = "\n".join(f"  {frame.filename}:{frame.lineno}" for frame in statistic.traceback)
        blocks.append(f"{statistic.size} bytes in {statistic.count} blocks\n{lines}")
    return "\n\n".join(blocks) + "\n"


def _callers(frame: FrameType | None) -> Stack:
    """Return the innermost frames from `frame` outwards."""
    stack: list[tuple[CodeType, int]] = []
    while frame is not None and len(stack) < MAX_FRAMES:
        stack.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(stack))


def _awaited(work: object) -> Stack:
    """Return where a suspended coroutine is, through everything that it awaits."""
    stack: list[tuple[CodeType, int]] = []
    while work is not None and len(stack) < MAX_FRAMES:
        frame = _first(work, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            stack.append((frame.f_code, frame.f_lineno))
        work = _first(work, "cr_await", "gi_yieldfrom", "ag_await")
    return tuple(stack)


def _first(work: object, *names: str) -> Any:
    return next((value for name in names if (value := getattr(work, name, None)) is not None), None)


def _lines(stack: Stack) -> str:
    return "\n".join(f"  {code.co_filename}:{line} {code.co_qualname}" for code, line in stack)


def _name(code: CodeType) -> str:
    return f"{PurePath(code.co_filename).stem}:{code.co_qualname}"
