"""README.md's evictions where they are refused, by a kubectl that does nothing else: they end, and say why."""

import subprocess

import pytest

from tests.docs.pages import ROOT, commands

BUDGET = "Cannot evict pod as it would violate the pod's disruption budget."
ATTEMPTS = 120


@pytest.mark.parametrize(
    ("refusal", "attempts"),
    [(BUDGET, [ATTEMPTS, ATTEMPTS]), ('pods "a" not found', [1, 0]), ("evictions is forbidden", [1, 0])],
)
def test_only_the_budget_is_waited_for_and_not_for_ever(refusal: str, attempts: list[int]) -> None:
    (evict,) = (block for block in commands(ROOT / "README.md") if "Eviction" in block.text)

    kubectl = 'kubectl() { if [[ $1 == get ]]; then echo a b; else echo "$REFUSAL" >&2; return 1; fi; }\nsleep() { :; }\n'
    done = subprocess.run(
        ["bash", "-eu", "-c", kubectl + evict.text], env={"REFUSAL": refusal}, capture_output=True, text=True, timeout=30, check=True
    )

    lines = done.stdout.splitlines()
    assert [sum(line.startswith(f"{pod}, ") for line in lines) for pod in "ab"] == attempts
    assert all(line.endswith(refusal) for line in lines)
