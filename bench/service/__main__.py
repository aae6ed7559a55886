"""Measures every candidate in random order in each round and writes the tables: `python -m bench.service --rounds N`.

The candidate has one core for itself; the load generator, the upstream and this program share another one.
"""

import argparse
import os
import random
import resource
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.service.candidates import BARE, BUILDERS, DIRECTLY, GO_PROXY, SERVICE, Candidate, Place
from bench.service.capacity import MEMORY_SHARE, NotMeasured, measure_capacity
from bench.service.figures import Loaded, Measured, Round, Run
from bench.service.installed import BUILD, HERE, Binaries, NotRun, build_binaries
from bench.service.load import Target, upstream
from bench.service.measure import measure, measure_direct, measure_in_turns
from bench.service.phases import FULL, SHORT, TRIAL, Direct, Extent
from bench.service.processes import Ended
from bench.service.requirements import MOST_MB
from bench.service.tables import render, render_at_capacity, with_part
from bench.session import end_by_signals, machine, say

METHOD = (
    "Everybody asks the API over plain HTTP, so that the ratios compare candidates: the cost of TLS, about the same for all, would hide in "
    "part how they differ. What it adds to the service's is in the part at capacity. "
    "CPU time is the run time of the candidate's process tree, which has one core for itself. Requests are answered whole, 8 at a time; "
    "events come on 20 streams, one every 20 ms on each. Latency is above the upstream's own, a request's that of one at a time. What is "
    "required against the Go proxy and the bare route is measured in turns: all of them run, windows of a second or two alternate, "
    "and there are 100 streams."
)
METHOD_AT_CAPACITY = (
    "The API is asked over TLS, as by a pod: a chain of three certificates, made for the run, whose root the service trusts by its "
    "ANTHROPIC_CA_FILE; connections are kept. What a request and an event cost so, each alone, measured as above, says how many of each "
    "take half of {share:.0%} of the core; what {beside} open streams take says how many fit into {memory:.0%} of {most:.0f} MB. Then all "
    "is asked for at once: the events on all of the streams, the requests at random moments, whether or not those before are answered. A "
    "request's latency counts from the moment at which it was due. Memory is what the process has resident, as in its metrics."
)
IN_TURNS = (SERVICE, BARE, GO_PROXY)
RESULTS = HERE / "results.md"


def main() -> None:
    """Run the command."""
    end_by_signals()
    arguments = _arguments()
    own_core, core = _cores()
    os.sched_setaffinity(0, {own_core})
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    try:
        _bench(arguments, core)
    except NotRun as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: broken off; everything that was started has ended")


def _bench(arguments: argparse.Namespace, core: int) -> None:
    bench = Bench(build_binaries(), core, TRIAL if arguments.trial else SHORT if arguments.rounds == 1 else FULL)
    path = arguments.write or (RESULTS if arguments.only == list(BUILDERS) and not arguments.trial else None)
    if not arguments.at_capacity:
        text = _compare(arguments, bench)
        print(f"\n{text}", flush=True)
        if path is not None:
            path.write_text(f"# What the service costs\n\nWritten by `make bench`.\n\n{text}")
    if SERVICE in arguments.only:
        text = _load_to_capacity(bench)
        print(f"\n{text}", flush=True)
        if path is not None:
            path.write_text(with_part(path.read_text() if path.exists() else "", text))


def _compare(arguments: argparse.Namespace, bench: "Bench") -> str:
    """Return the comparison of the candidates."""
    candidates, missing = _prepare(arguments.only, bench.binaries)
    started = time.monotonic()
    run = bench.run(candidates, rounds=arguments.rounds, seed=arguments.seed)
    about = _about(candidates, rounds=arguments.rounds, seed=arguments.seed, seconds=time.monotonic() - started)
    return render(run, missing=missing, about=about)


def _load_to_capacity(bench: "Bench") -> str:
    """Return the part about the load that the service's costs allow for."""
    try:
        service = BUILDERS[SERVICE](bench.binaries)
        loaded = bench.load(service)
    except (NotRun, NotMeasured, Ended, TimeoutError) as error:
        return render_at_capacity(None, about=[f"Not measured: {error}"])
    about = f"`python -m bench.service --at-capacity`, which is a part of all: {SERVICE} {service.version} on {machine()}."
    extent = bench.extent
    method = METHOD_AT_CAPACITY.format(share=extent.share, beside=extent.beside, memory=MEMORY_SHARE, most=MOST_MB)
    return render_at_capacity(loaded, about=[about, method])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.service", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured; 1 is a short round")
    parser.add_argument("--only", nargs="+", choices=list(BUILDERS), default=list(BUILDERS), metavar="NAME", help="of: %(choices)s")
    parser.add_argument("--at-capacity", action="store_true", help="only the load that the service's costs allow for, a minute")
    parser.add_argument("--trial", action="store_true", help="a tenth as long with few streams, to see whether everything works")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the order within each round")  # noqa: S311
    parser.add_argument("--write", type=Path, help=f"file for the tables; with every candidate and no --trial: {RESULTS.name}")
    return parser.parse_args()


def _prepare(names: Sequence[str], binaries: Binaries) -> tuple[list[Candidate], dict[str, str]]:
    """Return who can be measured, and why the others cannot."""
    candidates, missing = [], {}
    for name in names:
        say(f"preparing {name}")
        try:
            candidates.append(BUILDERS[name](binaries))
        except NotRun as error:
            missing[name] = str(error)
            say(f"{name}: not run: {error}")
    return candidates, missing


@dataclass(frozen=True)
class Bench:
    """What stays the same throughout a run."""

    binaries: Binaries
    core: int
    extent: Extent

    def run(self, candidates: Sequence[Candidate], *, rounds: int, seed: int) -> Run:
        """Measure every candidate in each round, in random order."""
        chance = random.Random(seed)  # noqa: S311  the order of a benchmark is no secret
        found: list[Round] = []
        for number in range(1, rounds + 1):
            with upstream(self.binaries.upstream) as url:
                direct = measure_direct(Target(self.binaries.load, url, DIRECTLY, url), self.extent)
                measured = {}
                for candidate in chance.sample(candidates, len(candidates)):
                    say(f"round {number} of {rounds}: {candidate.name}")
                    measured[candidate.name] = self._measure(candidate, url, direct)
                found.append({candidate.name: measured[candidate.name] for candidate in candidates})
        return Run(found, self._in_turns([each for each in candidates if each.name in IN_TURNS], chance))

    def load(self, service: Candidate) -> Loaded:
        """Measure the service's costs over TLS, then what it does under the load that they allow for."""
        say(f"at capacity: {service.name}")
        root_file = BUILD / "upstream.pem"
        with upstream(self.binaries.upstream, root_file=root_file) as url:
            place, target = self._placed(service, url, root_file=root_file)
            return measure_capacity(service, place, target, core=self.core, extent=self.extent)

    def _in_turns(self, candidates: Sequence[Candidate], chance: random.Random) -> list[Round]:
        say(f"in turns: {', '.join(candidate.name for candidate in candidates)}")
        with upstream(self.binaries.upstream) as url:
            entrants = [(candidate, *self._placed(candidate, url)) for candidate in candidates]
            try:
                return measure_in_turns(entrants, core=self.core, chance=chance, extent=self.extent)
            except (Ended, TimeoutError) as error:
                say(f"in turns: given up: {error}")
                return []

    def _measure(self, candidate: Candidate, upstream_url: str, direct: Direct) -> Measured:
        place, target = self._placed(candidate, upstream_url)
        return measure(candidate, place, target, core=self.core, direct=direct, extent=self.extent)

    def _placed(self, candidate: Candidate, upstream_url: str, *, root_file: Path | None = None) -> tuple[Place, Target]:
        """Return where `candidate` runs, in an empty folder of its own, and how it is asked there."""
        folder = BUILD / "run" / candidate.name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        place = Place(_free_port(), folder, upstream_url, root_file)
        return place, Target(self.binaries.load, place.url, candidate.asks, upstream_url)


def _about(candidates: Sequence[Candidate], *, rounds: int, seed: int, seconds: float) -> list[str]:
    versions = "; ".join(f"{candidate.name} {candidate.version}" for candidate in candidates)
    return [
        f"`python -m bench.service --rounds {rounds} --seed {seed}`: medians, {seconds / 60:.0f} min on {machine()}.",
        f"Versions: {versions}.",
        METHOD,
    ]


def _cores() -> tuple[int, int]:
    """Return the core of the generator and the upstream, and that of the candidate."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:  # noqa: PLR2004
        sys.exit("bench: two cores are needed, one for the candidate alone")
    return cores[0], cores[-1]


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


if __name__ == "__main__":
    main()
