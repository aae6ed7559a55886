"""Measures every candidate in a fresh cluster each, in random order, and writes the tables: `python -m bench.operator --rounds N`.

The candidate is pinned to one core, which the control plane uses too: its CPU time counts, and ratios of what was timed.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.operator import network
from bench.operator.api import Refused
from bench.operator.arena import PODS_PER_RESOURCE, arena
from bench.operator.candidates import BUILDERS, Candidate
from bench.operator.figures import Measured, Round, Run
from bench.operator.installed import BUILD, HERE, NotRun, build, built
from bench.operator.measure import FULL, MOST_ON_THEIR_WAY, SHORT, TRIAL, Extent, measure
from bench.operator.tables import render
from bench.session import end_by_signals, machine, say
from devcluster.errors import DevclusterError
from devcluster.state import lock

RESULTS = HERE / "results.md"
TRIAL_RESOURCES = 5
METHOD = (
    f"etcd, kube-apiserver, kube-controller-manager and kube-scheduler run; kwok plays the node and {PODS_PER_RESOURCE} pods a resource, "
    "a stub answers their reports. Each resource has a ServiceAccount, a Service, a NetworkPolicy, a Deployment (minReadySeconds 5) and "
    "a PodDisruptionBudget. The operator in Go renders the same fields, derives the same conditions and figures from the same reports, "
    "polled as often, and writes its status as seldom; it has no autoscaling, no Events, and says nothing of why pods fail. Requests, "
    "and what was timed, are from the audit log; CPU time is the scheduler's. The floor applies the same and one status once. Resources "
    f"are created, changed and robbed of a child at a fixed pace; while {MOST_ON_THEIR_WAY} are on their way to Ready, which they are "
    "where the control plane is behind, no more are created; a hundred share "
    f"a namespace. Idle is {FULL.idle_seconds:.0f} s without a change, in a short round {SHORT.idle_seconds:.0f}. Renewals of the Lease "
    "and watches are not counted."
)


def main() -> None:
    """Run the command."""
    end_by_signals()
    arguments = _arguments()
    try:
        if not network.inside():
            build()
            network.enter("bench.operator", sys.argv[1:])
        network.prepare()
        with lock(arguments.state):
            _bench(arguments)
    except (NotRun, DevclusterError, Refused, TimeoutError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: broken off; everything that was started has ended")


def _bench(arguments: argparse.Namespace) -> None:
    candidates = [BUILDERS[name](built()) for name in arguments.only]
    extent = TRIAL if arguments.trial else SHORT if arguments.rounds == 1 else FULL
    sizes = sorted(arguments.resources or ([TRIAL_RESOURCES] if arguments.trial else [200] if arguments.rounds == 1 else [200, 1000, 2000]))
    chance = random.Random(arguments.seed)  # noqa: S311  the order of a benchmark is no secret
    started, rounds = time.monotonic(), []
    for number in range(1, arguments.rounds + 1):
        for size in sizes if number == arguments.rounds else sizes[:1]:
            order = chance.sample(candidates, len(candidates))
            say(f"round {number} of {arguments.rounds}, {size} resources")
            rounds.append(Round(size, {each.name: _measure(each, size, extent, arguments.state) for each in order}))
    about = _about(arguments, candidates, sizes, seconds=time.monotonic() - started)
    text = render(Run(rounds), about=about)
    print(f"\n{text}", flush=True)
    path = arguments.write or (RESULTS if arguments.only == list(BUILDERS) and not arguments.trial else None)
    if path is not None:
        path.write_text(f"# What the operator costs\n\n{text}")


def _measure(candidate: Candidate, size: int, extent: Extent, state: Path) -> Measured:
    say(candidate.name)
    folder = state.absolute() / candidate.name
    with arena(folder, built().stub) as cluster:
        return measure(candidate, cluster, folder, resources=size, core=max(os.sched_getaffinity(0)), extent=extent)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.operator", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often the least resources are measured; 1 is a short round")
    parser.add_argument(
        "--resources",
        type=int,
        nargs="+",
        metavar="N",
        help="how many, all but the least in the last round only; by default 200 and, unless the round is short, 1000 and 2000",
    )
    parser.add_argument("--only", nargs="+", choices=list(BUILDERS), default=list(BUILDERS), metavar="NAME", help="of: %(choices)s")
    parser.add_argument("--trial", action="store_true", help=f"{TRIAL_RESOURCES} resources, to see whether everything works")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the order within each round")  # noqa: S311
    parser.add_argument(
        "--state", type=Path, default=BUILD / "run", help="folder of the clusters and their logs; one run at a time in each"
    )
    parser.add_argument("--write", type=Path, help=f"file for the tables; with every candidate and no --trial: {RESULTS.name}")
    return parser.parse_args()


def _about(arguments: argparse.Namespace, candidates: Sequence[Candidate], sizes: Sequence[int], *, seconds: float) -> list[str]:
    only = "" if arguments.only == list(BUILDERS) else f" --only {' '.join(arguments.only)}"
    command = f"python -m bench.operator --rounds {arguments.rounds}{only} --resources {' '.join(map(str, sizes))} --seed {arguments.seed}"
    versions = "; ".join(f"{candidate.name} {candidate.version}" for candidate in candidates)
    return [f"`{command}`: {seconds / 60:.0f} min on {machine()}.", f"Versions: {versions}.", METHOD]


if __name__ == "__main__":
    main()
