"""Measures every candidate in random order in each round and writes the tables: `python -m bench.service --rounds N`.

The candidate has one core for itself; the load generator, the upstream and this program share another one.
"""

import argparse
import os
import platform
import random
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.service.candidates import BUILDERS, DIRECTLY, Candidate, Place
from bench.service.figures import Measured, Run
from bench.service.installed import BUILD, HERE, Binaries, NotRun, build_binaries
from bench.service.load import Target, upstream
from bench.service.measure import Direct, measure, measure_direct
from bench.service.tables import render

METHOD = (
    "CPU time is the run time of the candidate's process tree, which has one core for itself. Requests are answered whole, 8 at a time; "
    "events come on 20 streams, one every 20 ms on each. Latency is above the upstream's own, a request's that of one at a time."
)
RESULTS = HERE / "results.md"


def main() -> None:
    """Run the command."""
    signal.signal(signal.SIGTERM, _leave)
    parser = argparse.ArgumentParser(prog="bench.service", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--only", nargs="+", choices=list(BUILDERS), default=list(BUILDERS), metavar="NAME", help="of: %(choices)s")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the order within each round")  # noqa: S311
    parser.add_argument("--write", type=Path, help=f"where the tables go besides the terminal; with every candidate {RESULTS.name}")
    arguments = parser.parse_args()
    own_core, core = _cores()
    os.sched_setaffinity(0, {own_core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        binaries = build_binaries()
    except NotRun as error:
        sys.exit(f"bench: {error}")
    candidates, missing = _prepare(arguments.only, binaries)
    started = time.monotonic()
    run = _run(candidates, binaries, rounds=arguments.rounds, seed=arguments.seed, core=core)
    about = _about(candidates, rounds=arguments.rounds, seed=arguments.seed, seconds=time.monotonic() - started)
    text = render(run, missing=missing, about=about)
    print(f"\n{text}")
    path = arguments.write or (RESULTS if arguments.only == list(BUILDERS) else None)
    if path is not None:
        path.write_text(f"# What the service costs\n\nWritten by `make bench`.\n\n{text}")


def _prepare(names: Sequence[str], binaries: Binaries) -> tuple[list[Candidate], dict[str, str]]:
    """Return who can be measured, and why the others cannot."""
    candidates, missing = [], {}
    for name in names:
        _say(f"preparing {name}")
        try:
            candidates.append(BUILDERS[name](binaries))
        except NotRun as error:
            missing[name] = str(error)
            _say(f"{name}: not run: {error}")
    return candidates, missing


def _run(candidates: Sequence[Candidate], binaries: Binaries, *, rounds: int, seed: int, core: int) -> Run:
    order = random.Random(seed)  # noqa: S311  the order of a benchmark is no secret
    found: list[Mapping[str, Measured]] = []
    for number in range(1, rounds + 1):
        with upstream(binaries.upstream) as url:
            direct = measure_direct(Target(binaries.load, url, DIRECTLY, url))
            measured = {}
            for candidate in order.sample(candidates, len(candidates)):
                _say(f"round {number} of {rounds}: {candidate.name}")
                measured[candidate.name] = _one(candidate, url, binaries, core=core, direct=direct)
            found.append({candidate.name: measured[candidate.name] for candidate in candidates})
    return Run(found)


def _one(candidate: Candidate, url: str, binaries: Binaries, *, core: int, direct: Direct) -> Measured:
    folder = BUILD / "run" / candidate.name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(_free_port(), folder, url)
    return measure(candidate, place, Target(binaries.load, place.url, candidate.asks, url), core=core, direct=direct)


def _about(candidates: Sequence[Candidate], *, rounds: int, seed: int, seconds: float) -> list[str]:
    machine = f"{_processor()}, Linux {platform.release()}, Python {platform.python_version()}"
    versions = "; ".join(f"{candidate.name} {candidate.version}" for candidate in candidates)
    return [
        f"`python -m bench.service --rounds {rounds} --seed {seed}`: medians, {seconds / 60:.0f} min on {machine}.",
        f"Versions: {versions}.",
        METHOD,
    ]


def _cores() -> tuple[int, int]:
    """Return the core of the generator and the upstream, and that of the candidate."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:  # noqa: PLR2004
        sys.exit("bench: two cores are needed, one for the candidate alone")
    return cores[0], cores[-1]


def _processor() -> str:
    models = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(models)} cores of {models[0]}" if models else platform.machine()


def _free_port() -> int:
    """Return a port that is free, as the next one is."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End as by Ctrl-C, so that every program is ended too."""
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
