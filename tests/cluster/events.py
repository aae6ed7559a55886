"""Each event of a chatbot's pods, as the API server tells them: what somebody who looks now and then could miss."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.commands import environment
from tests.cluster.places import Place, is_ready
from tests.waiting import wait_until


@contextmanager
def followed(place: Place, file: Path) -> Iterator[None]:
    """Write the pods that are there into a file, and what becomes of the chatbot's pods within the block."""
    follow = ("--watch", "--output-watch-events", "--output=json")
    argv: list[str | Path] = [place.tools.kubectl_binary, "get", "pods", place.selects_pods, f"--namespace={place.namespace}", *follow]
    variables = environment() | {"KUBECONFIG": place.tools.kubeconfig}
    with file.open("w") as output, subprocess.Popen(argv, env=variables, stdout=output) as process:
        try:
            wait_until(lambda: file.stat().st_size, what="the pods that are there")
            yield
        finally:
            process.terminate()


def ready_counts(file: Path) -> list[int]:
    """Return how many pods were ready and not told to end, after each event."""
    ready: dict[str, bool] = {}
    counts = []
    for event in _documents(file.read_text()):
        pod = event["object"]
        ready[pod["metadata"]["uid"]] = is_ready(pod) and "deletionTimestamp" not in pod["metadata"]
        counts.append(sum(ready.values()))
    return counts


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON documents that stand one after the other."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]
