"""The command line: `python -m devcluster VERB`. Results go to standard output, progress and errors to standard error, one line each."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devcluster import binaries, cluster, processes, target
from devcluster.errors import DevclusterError
from devcluster.progress import say
from devcluster.state import state_folder

INTERRUPTED = 130  # what shells report for SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except (DevclusterError, OSError, subprocess.SubprocessError) as error:  # OSError: a full disk, a read-only folder, a lost program
        print(f"devcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("devcluster: interrupted; the next 'up' repairs, 'down' removes", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Describe the verbs."""
    described = argparse.ArgumentParser(prog="devcluster", description="A real Kubernetes on this machine, without an image registry.")
    verbs = described.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="build the programs that are missing from the cache")
    build.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(binaries.BINARIES)}; by default all but {' and '.join(binaries.ON_DEMAND)}",
    )
    build.add_argument("--also", action="append", default=[], metavar="NAME", help="one more, beside those")
    verbs.add_parser("up", help="start the cluster, or repair it")
    verbs.add_parser("ensure", help="see that there is a cluster: the one that KUBECONFIG or CONTEXT names, else this one, up")
    verbs.add_parser("down", help="remove the cluster and everything it made")
    verbs.add_parser("status", help="say what runs; fails unless all of it does")
    logs = verbs.add_parser("logs", help="print a component's log, or where the logs are")
    logs.add_argument("component", nargs="?", choices=cluster.COMPONENTS)
    load = verbs.add_parser("load", help="bring images (docker-archive files) into the cluster")
    load.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    path = verbs.add_parser("path", help="print the path of a built program")
    path.add_argument("binary", choices=tuple(binaries.BINARIES))
    verbs.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    return described


def run(options: argparse.Namespace) -> int:
    """Do what the verb says."""
    state = state_folder()
    match options.verb:
        case "build":
            binaries.build([*(options.names or binaries.ALWAYS), *options.also])
            say("all programs are built")
        case "up":
            cluster.up(state)
        case "ensure":
            ensure(state)
        case "down":
            cluster.down(state)
        case "status":
            return print_status(state)
        case "logs":
            print_logs(state, options.component)
        case "load":
            cluster.load(state, options.archives)
        case "path":
            print(binaries.binary(options.binary))
        case "kubeconfig":
            print(cluster.control_plane(state).kubeconfig)
    return 0


def ensure(state: Path) -> None:
    """See that the cluster which the environment names answers; start only our own. Raises TargetUnusable."""
    chosen = target.choose(os.environ)
    if chosen.is_devcluster:
        cluster.up(state)
    elif chosen.answers():
        say(f"the cluster of context {chosen.context} answers, nothing is started: export KUBECONFIG={chosen.kubeconfig}")
    else:
        raise target.TargetUnusable(
            f"the cluster of context {chosen.context} in {chosen.kubeconfig} does not answer: start it, or unset KUBECONFIG and CONTEXT"
        )


def print_status(state: Path) -> int:
    """Print a line for each part and return 0 if all of them work."""
    found = cluster.status(state)
    for name, condition in found.items():
        print(f"{name:<24} {condition}")
    return int(any(condition.startswith("not ") for condition in found.values()))


def print_logs(state: Path, component: str | None) -> None:
    """Print one component's log, or the path of each."""
    if component is None:
        for name in cluster.COMPONENTS:
            print(f"{name:<24} {processes.log_path(state, name)}")
        return
    path = processes.log_path(state, component)
    if not path.exists():
        raise DevclusterError(f"{component} has no log: the devcluster was not started ({path})")
    with path.open(errors="replace") as log:
        shutil.copyfileobj(log, sys.stdout)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a script the first would be ignored
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
