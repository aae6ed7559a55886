"""The load generator against the upstream, both as they run in the benchmark: what counts as an answer, and what as a failure."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.service.candidates import DIRECTLY
from bench.service.installed import Binaries, build_binaries
from bench.service.load import Asks, Load, Report, Stream, Target, load, upstream

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def binaries() -> Binaries:
    return build_binaries()


@pytest.fixture
def target(binaries: Binaries) -> Iterator[Target]:
    with upstream(binaries.upstream) as url:
        yield Target(binaries.load, url, DIRECTLY, url)


def until(running: Load, condition: Callable[[Report], bool]) -> Report:
    end = time.monotonic() + 20
    while not condition(report := running.report()):
        assert time.monotonic() < end, report
        time.sleep(0.05)
    return report


def test_whole_answers_are_counted_and_timed(target: Target) -> None:
    with load(target, connections=2) as running:
        report = until(running, lambda report: report.requests > 10)

    assert report.failed == 0
    assert report.stamps == pytest.approx(report.requests, abs=2)
    assert 0 < report.request_ms[0] <= report.request_ms[1]
    assert 0 < report.stamp_ms[0] <= report.request_ms[1]


def test_streams_come_with_all_their_pieces_and_are_asked_for_again(target: Target) -> None:
    with load(target, connections=3, stream=Stream(every_ms=5, events=7, burst=2)) as running:
        report = until(running, lambda report: report.requests > 5)

    assert report.failed == 0
    assert 7 * (report.requests - 3) <= report.stamps <= 7 * (report.requests + 3)


def test_open_streams_are_counted_until_they_are_all_there(target: Target) -> None:
    with load(target, connections=100, stream=Stream(every_ms=20_000, events=10)) as running:
        assert running.until_open(100) == 0
        assert running.report().open == 100


def test_a_rate_is_kept_however_quick_the_answers_are(target: Target) -> None:
    seen = 0

    def forty(report: Report) -> bool:
        nonlocal seen
        seen += report.requests
        return seen >= 40

    began = time.monotonic()
    with load(target, connections=8, rate=40) as running:
        until(running, forty)

    assert time.monotonic() - began > 0.3  # a second on average; less than this by chance once in a hundred million times


def test_latency_counts_from_when_a_request_was_due(target: Target) -> None:
    answer = Stream(every_ms=20, events=6)

    with load(target, connections=1, stream=answer, rate=1000) as running:
        until(running, lambda report: report.request_ms[1] > 4 * 100)


def test_each_wrong_answer_is_a_failure_with_its_reason(target: Target) -> None:
    nowhere = Target(target.generator, target.url, Asks("/nowhere", "{}", {}), target.upstream)
    short = Target(target.generator, target.url, Asks("/v1/messages", '{"stream":true}', {}), target.upstream)

    with load(nowhere, connections=1) as running:
        assert until(running, lambda report: report.failed > 0).reasons.keys() == {"status 404"}
    with load(short, connections=1, stream=Stream(every_ms=5, events=3)) as running:
        assert until(running, lambda report: report.failed > 0).reasons.keys() == {"1 of 3 stamps"}


def test_over_tls_the_upstream_shows_a_chain_that_its_root_vouches_for(binaries: Binaries, tmp_path: Path) -> None:
    root_file = tmp_path / "root.pem"

    with upstream(binaries.upstream, root_file=root_file) as url:
        trusting = ssl.create_default_context(cafile=root_file)
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # as from Python 3.13 on
        shown = shake_hands(url, trusting)
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(url, ssl.create_default_context())

    assert shown["subjectAltName"] == (("IP Address", "127.0.0.1"),)
    assert shown["issuer"] not in [root["subject"] for root in trusting.get_ca_certs()]


def shake_hands(url: str, trusted: ssl.SSLContext) -> Mapping[str, object]:
    """Return what the certificate says that is shown at `url`, once it is trusted."""
    address = urlsplit(url)
    with (
        socket.create_connection((address.hostname, address.port)) as connection,
        trusted.wrap_socket(connection, server_hostname=address.hostname) as secured,
    ):
        return secured.getpeercert() or {}


def test_both_programs_end_with_whoever_started_them(target: Target) -> None:
    with load(target, connections=1) as running:
        process = running._process
        assert process.stdin is not None
        process.stdin.close()

        assert process.wait(timeout=20) == 0
