"""Every command that the documents promise to users, and the tests that run it as written; what cannot be run here says so in its name."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import blocks, functions_in

ROOT = Path(__file__).resolve().parents[2]

COMMANDS: dict[str, tuple[str, ...]] = {
    # The service, by curl and by what its log says.
    'curl localhost:8080/api/chat --json \'{"message": "Hello, how are you?"}\'': (
        "tests/deploy/test_compose.py::test_a_fresh_copy_answers_without_a_key",
        "tests/service/test_chat.py::test_an_answer_is_whole_json",
    ),
    "curl localhost:8080/health": (
        "tests/deploy/test_compose.py::test_health_is_told_in_the_documented_fields",
        "tests/service/test_health.py::test_health_has_every_field_of_the_contract",
    ),
    "curl localhost:8080/health/live; curl localhost:8080/health/ready": (
        "tests/service/test_health.py::test_the_parts_answer_for_themselves",
    ),
    "grep 'HTTP request completed' | grep '\"http_status\":200'": (
        "tests/deploy/test_compose.py::test_requests_are_found_in_the_log_by_grep",
    ),
    "grep 'anthropic api call failed, retrying'": ("tests/deploy/test_compose.py::test_an_outage_is_found_in_the_log_by_grep",),
    "grep 'anthropic api call failed'": ("tests/deploy/test_compose.py::test_an_outage_is_found_in_the_log_by_grep",),
    "grep 'circuit breaker'": ("tests/deploy/test_compose.py::test_an_outage_is_found_in_the_log_by_grep",),
    # Docker and Compose.
    "cp .env.example .env": ("tests/deploy/test_compose.py::test_a_fresh_copy_answers_without_a_key",),
    "./scripts/build.sh": (
        "tests/deploy/test_build_for_real.py::test_all_of_it_with_one_file_of_the_quick_tests_gives_docker_every_image_by_both_tags",
    ),
    "VERSION=v1.2.3 ./scripts/build.sh": (
        "tests/deploy/test_build_for_real.py::test_with_make_check_replaced_the_printed_command_gives_docker_the_version_by_tag_and_by_label",
    ),
    "docker-compose up -d": (
        "tests/deploy/test_compose.py::test_a_fresh_copy_answers_without_a_key",
        "tests/deploy/test_compose.py::test_the_service_has_its_documented_name_and_the_simulator_is_beside_it",
    ),
    "docker-compose -f deploy/docker-compose.prod.yml up -d": (
        "tests/deploy/test_compose_prod.py::test_as_written_it_runs_within_its_limits_though_nobody_reaches_anthropic_here",
        "tests/deploy/test_compose_prod.py::test_it_answers_with_the_key_of_the_file",
        "tests/deploy/test_compose_prod.py::test_one_cpu_and_512_mebibytes_are_the_most_it_gets",
        "tests/deploy/test_compose_prod.py::test_it_is_locked_up_as_in_development",
    ),
    "[ -e .env ] || cp .env.example .env": (
        "tests/deploy/test_compose_prod.py::test_as_written_it_runs_within_its_limits_though_nobody_reaches_anthropic_here",
    ),
    "docker-compose down": ("tests/deploy/test_compose.py::test_down_ends_the_simulator_too",),
    "install --directory --owner=1001 --mode=0700 secrets": (
        "tests/deploy/test_compose_prod.py::test_it_answers_with_the_key_of_the_file",
    ),
    "install --owner=1001 --mode=0400 /dev/stdin secrets/anthropic-api-key": (
        "tests/deploy/test_compose_prod.py::test_it_answers_with_the_key_of_the_file",
        "tests/deploy/test_compose_prod.py::test_another_key_file_is_taken_up_without_a_restart",
    ),
    "docker exec general-purpose-chatbot sh": ("tests/deploy/test_compose.py::test_there_is_no_shell",),
    "docker stats": (
        "tests/deploy/test_compose.py::test_docker_stats_shows_an_idle_service_below_the_target",
        "tests/deploy/test_compose_prod.py::test_docker_stats_shows_the_limit",
    ),
    # Kubernetes without the operator.
    "kubectl create secret generic chatbot-secrets --from-literal=anthropic-api-key=…": (
        "tests/cluster/test_documents.py::test_plain_deployment_is_handed_over_without_a_failed_request",
    ),
    "kubectl create secret generic chatbot-secrets --from-file=anthropic-api-key=/dev/stdin": (
        "tests/cluster/test_plain.py::test_three_pods_are_ready_as_it_stands_though_nobody_reaches_anthropic_here",
    ),
    "kubectl apply -f deploy/k8s-deployment.yaml": (
        "tests/cluster/test_plain.py::test_three_pods_are_ready_as_it_stands_though_nobody_reaches_anthropic_here",
        "tests/cluster/test_plain.py::test_the_service_leads_to_an_answer",
    ),
    "kubectl apply --filename deploy/k8s-deployment.yaml": (
        "tests/cluster/test_plain.py::test_three_pods_are_ready_as_it_stands_though_nobody_reaches_anthropic_here",
    ),
    "sed 's#image: general#image: registry.example.com/chatbots/general#' deploy/k8s-deployment.yaml | kubectl apply --filename=-": (
        "tests/docs/test_installing_page.py::test_the_plain_manifest_takes_its_image_from_a_registry_of_ones_own",
    ),
    "kubectl rollout status deployment/general-purpose-chatbot": (
        "tests/cluster/test_plain.py::test_three_pods_are_ready_as_it_stands_though_nobody_reaches_anthropic_here",
    ),
    "kubectl scale deployment general-purpose-chatbot --replicas=5": ("tests/cluster/test_plain.py::test_kubectl_scale_makes_five",),
    # Looking into it.
    "curl localhost:9090/debug/profile, /debug/heap": (
        "tests/cluster/test_plain.py::test_cpu_and_heap_profiles_come_from_a_running_pod",
        "tests/service/test_debug.py::test_a_service_is_profiled_and_traced_under_load_without_harm",
    ),
    "grype, trivy": (
        "tests/images/test_scanners.py::test_grype_and_trivy_cannot_scan_without_vulnerability_data_but_see_every_locked_distribution",
        "tests/images/test_scanners.py::test_grype_and_trivy_cannot_scan_without_vulnerability_data_but_see_debians_packages_and_release",
    ),
}

PAGES = ("README.md", "docs/compose.md")
HEADS = ("docker-compose.yml", "deploy/docker-compose.prod.yml", "scripts/build.sh")
PLAIN = "deploy/k8s-deployment.yaml"
OURS = ("[ -e ", "docker ", "docker-compose ", "cp .env.example ", "install --", "./scripts/build.sh", "VERSION=")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_promised_command_has_a_test_that_is_there(command: str) -> None:
    for test in COMMANDS[command]:
        file, name = test.split("::")
        assert name in functions_in(ROOT / file), test


def in_head(file: Path) -> set[str]:
    """Return what the comments at the start of a file's lines have between backquotes, or indented, two spaces apart."""
    comments = [line[1:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    quoted = {words for line in comments for words in re.findall("`([^`]+)`", line)}
    return quoted | {words for line in comments if line.startswith("   ") for words in re.split(" {2,}", line.strip())}


def in_page(page: Path) -> set[str]:
    """Return the lines of a page's shell blocks, without their comments."""
    lines = (line for block in blocks(page) if block.language == "bash" for line in block.text.splitlines())
    return {line.partition(" #")[0].strip() for line in lines}


def test_no_promised_command_of_these_files_is_missed() -> None:
    found = set[str]().union(*(in_head(ROOT / file) for file in HEADS), *(in_page(ROOT / page) for page in PAGES))
    without_operator = {words for words in in_head(ROOT / PLAIN) if words.startswith(("kubectl ", "sed "))}
    promised = {words for words in found if words.startswith(OURS)} | without_operator

    assert len(without_operator) == 5
    assert promised >= {
        "docker-compose up -d",
        "docker-compose -f deploy/docker-compose.prod.yml up -d",
        "VERSION=v1.2.3 ./scripts/build.sh",
    }
    assert promised - COMMANDS.keys() == set()


def test_the_files_that_commands_name_are_there() -> None:
    words = {word for command in COMMANDS for word in command.split() if word.startswith(("./", ".env.", "deploy/"))}

    assert words >= {"./scripts/build.sh", ".env.example", "deploy/docker-compose.prod.yml", "deploy/k8s-deployment.yaml"}
    assert [word for word in words if not (ROOT / word).is_file()] == []
