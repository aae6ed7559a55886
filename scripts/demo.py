"""`up`: from nothing to an answer streamed from a chat pod. `down`: removes all of it. Both can be run again at any time."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from devcluster.cluster import require_root
from devcluster.errors import DevclusterError
from devcluster.target import Target, choose
from scripts import installation
from scripts.chat import stream_answer
from scripts.commands import API_KEY_VARIABLE, Failed, Tools, run
from scripts.installation import CHATBOT, NAMESPACE
from scripts.progress import Progress

READY_SECONDS = 300.0
QUESTION = "What can you do for me? Answer with a short list."


def up(console: Console) -> None:
    """Bring the demo up, ask one question and say what to try next."""
    started = time.monotonic()
    key = os.environ.get(API_KEY_VARIABLE, "").strip()
    target = choose(os.environ)
    with Progress(console) as progress:
        _build(progress, target)
        tools = _tools(target)
        images = installation.built_images(target)
        with progress.step("images on the cluster") as step:
            step.detail = installation.prepare(target, tools, images)
        with progress.step("operator installed by helm") as step:
            step.detail = installation.install_operator(tools, images)
        with progress.step("chatbot applied"):
            installation.apply_chatbot(tools, images, key)
    _say_upstream(console, key)
    _wait_until_ready(console, tools)
    _ask(console, tools)
    console.print(f"\nReady and answered after {time.monotonic() - started:.0f} s.", highlight=False)
    _say_what_next(console, target, tools)


def down(console: Console) -> None:
    """Remove the chatbot, the operator, its definition, the namespaces and, if it is ours, the cluster."""
    target = choose(os.environ)
    with Progress(console) as progress:
        if not target.is_devcluster:
            with progress.step("chatbot and operator removed"):
                installation.remove(_tools(target), others_too=False)
        else:
            if target.answers():
                with suppress(Failed), progress.step("chatbot and operator removed"):  # what hangs there goes with the cluster
                    installation.remove(_tools(target), others_too=True)
            progress.command("cluster removed", _devcluster("down"))
    console.print(
        "Nothing of the demo is left. The built programs stay in the cache, the images in .build/images.", highlight=False, soft_wrap=True
    )


def _devcluster(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "devcluster", *arguments]


def _tools(target: Target) -> Tools:
    kubectl, helm = (Path(run(_devcluster("path", name)).strip()) for name in ("kubectl", "helm"))
    return Tools(kubectl_binary=kubectl, helm_binary=helm, kubeconfig=target.kubeconfig, context=target.context)


def _build(progress: Progress, target: Target) -> None:
    """Start the cluster and build the images beside each other; the first failure ends both."""
    title, commands = "tools built", [_devcluster("build", "kubectl", "helm")]
    if target.is_devcluster:
        require_root()  # said now, not after a quarter of an hour of builds
        title, commands = "cluster up", [_devcluster("up")]
    with ThreadPoolExecutor() as pool:
        images = pool.submit(progress.command, "images built", [sys.executable, "scripts/images.py", "build"])
        cluster = pool.submit(progress.command, title, *commands)
        try:
            finished, _ = wait((images, cluster), return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            progress.cancel()
            raise
        failures = [failure for work in finished if (failure := work.exception())]
        if failures:
            progress.cancel()
            raise failures[0]


def _say_upstream(console: Console, key: str) -> None:
    if key:
        console.print(
            f"\n[bold]{API_KEY_VARIABLE} is set:[/] the pods talk to Anthropic's API with it (examples/minimal.yaml). Tokens are spent."
        )
    else:
        console.print(
            f"\n[bold]{API_KEY_VARIABLE} is not set:[/] a simulator of the Anthropic API answers (examples/demo.yaml); "
            "its answers are canned. Set the variable and run again to talk to Claude.",
            soft_wrap=True,
        )


def _wait_until_ready(console: Console, tools: Tools) -> None:
    """Show the resource and its pods until it is Ready; raises Failed when it is stalled or takes too long."""
    end = time.monotonic() + READY_SECONDS
    shown = ""
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            resource = installation.get(tools, "chatbot", CHATBOT, f"--namespace={NAMESPACE}")
            state = _state(resource)
            if live:
                live.update(_status_table(resource, _pods(tools)), refresh=True)
            elif state != shown:
                console.print(f"    {CHATBOT}: {state}", highlight=False, markup=False, soft_wrap=True)
                shown = state
            conditions = _conditions(resource)
            if conditions.get("Ready", {}).get("status") == "True":
                return
            if conditions.get("Stalled", {}).get("status") == "True":
                raise Failed(f"{CHATBOT} is stalled: {conditions['Stalled']['message']}")
            if time.monotonic() > end:
                raise Failed(
                    f"{CHATBOT} was not ready within {READY_SECONDS:.0f} s ({state}): kubectl describe chatbot/{CHATBOT} -n {NAMESPACE}"
                )
            time.sleep(1)


def _conditions(resource: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the conditions by type, those of an earlier generation left out."""
    generation = resource["metadata"]["generation"]
    conditions = resource.get("status", {}).get("conditions", ())
    return {condition["type"]: condition for condition in conditions if condition.get("observedGeneration", generation) == generation}


def _state(resource: Mapping[str, Any]) -> str:
    status = resource.get("status", {})
    return (
        f"READY {status.get('ready', '-')}, {status.get('state', 'Pending')}: {status.get('summary', 'the operator has not seen it yet')}"
    )


def _pods(tools: Tools) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = tools.kubectl_json("get", "pods", f"--namespace={NAMESPACE}")["items"]
    return items


def _status_table(resource: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"{CHATBOT} · {_state(resource)}", title_justify="left", box=None)
    for column in ("pod", "phase", "ready", "what it waits for"):
        table.add_column(column, justify="left")
    for pod in pods:
        containers = pod["status"].get("containerStatuses", ())
        waiting = next((state["reason"] for one in containers if (state := one["state"].get("waiting"))), "")
        ready = all(one["ready"] for one in containers) and bool(containers)
        table.add_row(pod["metadata"]["name"], pod["status"]["phase"], "[green]yes[/]" if ready else "no", waiting)
    return table


def _ask(console: Console, tools: Tools) -> None:
    """Ask the question through the Service and print the answer as it comes."""
    console.print(f"\n[bold]You:[/] {QUESTION}\n[bold]Chatbot:[/] ", end="")
    with tools.port_forward(f"service/{CHATBOT}", f"--namespace={NAMESPACE}") as port:
        for text in stream_answer("127.0.0.1", port, QUESTION):
            console.out(text, end="", highlight=False)
            console.file.flush()
    console.print()


def _say_what_next(console: Console, target: Target, tools: Tools) -> None:
    lines = ["Try next:"]
    if target.is_devcluster:
        lines += [f"  export KUBECONFIG={target.kubeconfig}", f'  export PATH="{tools.kubectl_binary.parent}:$PATH"   # kubectl']
    lines += [
        f"  kubectl get chatbot -n {NAMESPACE} -o wide",
        f"  kubectl scale chatbot/{CHATBOT} -n {NAMESPACE} --replicas=5",
        f"  kubectl describe chatbot/{CHATBOT} -n {NAMESPACE}",
        f"  kubectl port-forward service/{CHATBOT} -n {NAMESPACE} 8080:80 &",
        """  curl -N localhost:8080/api/chat --json '{"message": "Hello, how are you?", "stream": true}'""",
        "  make demo-down   # removes all of it",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


VERBS = {"up": up, "down": down}


def main(arguments: Sequence[str]) -> int:
    """Run a verb; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in VERBS:
        print(f"usage: python -m scripts.demo {'|'.join(VERBS)}", file=sys.stderr)
        return 2
    try:
        VERBS[arguments[0]](Console())
    except (Failed, DevclusterError, OSError) as error:  # OSError: a full disk, a folder that cannot be written
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; run it again to go on, or `make demo-down`", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a script the first would be ignored
        signal.signal(number, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
