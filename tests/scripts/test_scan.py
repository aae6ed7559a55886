"""What `make scan` makes of what scanners say: a finding fails it, and what was not looked at is never called clean."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.commands import Failed
from scripts.scan import bandit, checkov, grype, pip_audit, trivy
from scripts.scan.__main__ import passes
from scripts.scan.reports import Report

AUDITED = {"name": "anyio", "version": "4.16.0", "vulns": []}
VULNERABLE = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "GHSA-vqfr-h8mv-ghfj", "fix_versions": ["0.16.0"]}]}
SKIPPED = {"name": "click", "skip_reason": "Dependency not found on PyPI and could not be audited: click (8.5.1)"}


def audit(*packages: object) -> Report:
    return pip_audit.report(json.dumps({"dependencies": packages, "fixes": []}), "No known vulnerabilities found")


def test_packages_without_vulnerability_data_are_not_run_whatever_pip_audit_says() -> None:
    assert audit(AUDITED, SKIPPED, SKIPPED).verdict == f"not run: no vulnerability data for 2 of 3: {SKIPPED['skip_reason']}"


def test_what_is_found_stands_beside_what_was_not_looked_at() -> None:
    report = audit(VULNERABLE, SKIPPED)

    assert report.findings == ("h11 0.14.0: GHSA-vqfr-h8mv-ghfj",)
    assert report.verdict.startswith("1 found; not run: no vulnerability data for 1 of 2: ")


def test_nothing_found_takes_data_for_every_package() -> None:
    assert audit(AUDITED).verdict == "nothing found"


def test_an_audit_that_broke_off_is_not_run_in_its_last_words() -> None:
    assert pip_audit.report("", "Traceback:\nrequests.exceptions.ConnectionError: no route\n").verdict == (
        "not run: requests.exceptions.ConnectionError: no route"
    )


class Data(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v6/latest.json" else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Data) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_data_is_within_reach_if_it_can_be_read(address: str) -> None:
    assert grype.unreachable(f"{address}/v6/latest.json") is None
    assert grype.unreachable(f"{address}/gone") == "Not Found"
    assert "refused" in str(grype.unreachable("http://127.0.0.1:1/v6/latest.json"))


def test_grype_that_is_not_there_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert grype.scan().verdict == "not run: there is no grype on PATH"


def test_grype_is_not_run_without_its_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "grype").write_text("#!/bin/false\n")
    (tmp_path / "grype").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(grype, "DATA", "http://127.0.0.1:1")

    assert grype.scan().verdict.startswith("not run: the vulnerability data at http://127.0.0.1:1/v6/latest.json cannot be reached (")


def test_a_match_of_grype_names_image_package_and_fix() -> None:
    match = {
        "artifact": {"name": "zlib1g", "version": "1:1.3"},
        "vulnerability": {"id": "CVE-2026-1", "severity": "High", "fix": {"versions": ["1:1.3.1"], "state": "fixed"}},
    }

    assert grype.findings("chatbot-operator", {"matches": [match]}) == [
        "chatbot-operator: zlib1g 1:1.3: CVE-2026-1 (High, fixed in 1:1.3.1)"
    ]


def test_trivy_that_is_not_there_or_gets_no_data_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = trivy.scan()
    (tmp_path / "trivy").write_text("#!/bin/sh\necho 'FATAL no route to the registry' >&2\nexit 1\n")
    (tmp_path / "trivy").chmod(0o755)

    assert absent.verdict == "not run: there is no trivy on PATH"
    assert trivy.scan().verdict == "not run: the vulnerability data cannot be fetched (trivy image: FATAL no route to the registry)"


def test_a_match_of_trivy_names_image_package_and_fix() -> None:
    match = {"PkgName": "h11", "InstalledVersion": "0.14.0", "VulnerabilityID": "CVE-2026-2", "Severity": "HIGH", "FixedVersion": "0.16.0"}
    document = {"Results": [{"Target": "Debian"}, {"Target": "Python", "Vulnerabilities": [match]}]}

    assert trivy.findings("chatbot-operator", document) == ["chatbot-operator: h11 0.14.0: CVE-2026-2 (High, fixed in 0.16.0)"]
    assert trivy.findings("chatbot-operator", {"SchemaVersion": 2}) == []


def test_a_finding_of_bandit_names_its_place() -> None:
    found = {"filename": "service/src/a.py", "line_number": 7, "test_id": "B602", "issue_text": "shell=True"}

    assert bandit.findings({"results": [found], "errors": []}) == ("service/src/a.py:7: B602 shell=True",)
    with pytest.raises(Failed, match=r"could not read b\.py"):
        bandit.findings({"results": [], "errors": [{"filename": "b.py", "reason": "syntax error"}]})


def test_a_finding_of_checkov_names_what_it_is_about() -> None:
    check = {"file_path": "/a.yaml", "resource": "Pod.default.a", "check_id": "CKV_K8S_1", "check_name": "Not the host's processes"}
    part = {"results": {"failed_checks": [check]}, "summary": {"passed": 1, "skipped": 0}}

    assert checkov.findings([part]) == ("a.yaml: Pod.default.a: CKV_K8S_1 Not the host's processes",)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"passed": 0, "failed": 0}, "looked at nothing"),
        ({"results": {"failed_checks": [], "parsing_errors": ["/b.yaml"]}, "summary": {"passed": 1}}, r"could not read /b\.yaml"),
    ],
)
def test_checkov_that_did_not_look_has_failed(document: dict[str, object], said: str) -> None:
    with pytest.raises(Failed, match=said):
        checkov.findings(document)


def broken() -> Report:
    raise Failed("no such program")


def test_findings_and_broken_scanners_fail_and_what_is_not_run_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    clean = Report(scanner="a 1", subject="all", waived=2)

    assert passes("a", lambda: clean)
    assert passes("b", lambda: Report(scanner="b 1", subject="all", not_run="no data"))
    assert not passes("c", lambda: Report(scanner="c 1", subject="all", findings=("key.py:1: a key",)))
    assert not passes("d", broken)

    said = capsys.readouterr()
    assert [line.split("all")[-1].strip() for line in said.out.splitlines()] == [
        "nothing found, 2 waived",
        "not run: no data",
        "1 found",
        "key.py:1: a key",
    ]
    assert said.err == "d: failed: no such program\n"
