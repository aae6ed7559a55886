import datetime as dt
import ssl
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from devcluster import certificates
from devcluster.certificates import Authority, KeyPair, read_certificate


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("hosts", "purposes"),
    [((), ["sslclient"]), (("127.0.0.1", "kubernetes.default.svc"), ["sslclient", "sslserver"])],
)
def test_openssl_verifies_what_the_authority_issues(tmp_path: Path, hosts: Sequence[str], purposes: Sequence[str]) -> None:
    authority = Authority(tmp_path)

    pair = authority.issue("leaf", name="system:node:one", organizations=["system:nodes"], hosts=hosts)

    for purpose in purposes:
        verdict = openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", authority.certificate, pair.certificate)
        assert verdict.endswith(": OK\n")
    assert openssl("x509", "-in", pair.certificate, "-noout", "-pubkey") == openssl("pkey", "-in", pair.key, "-pubout")


def test_client_certificate_is_not_a_servers(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("client", name="somebody")

    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-purpose", "sslserver", "-CAfile", authority.certificate, pair.certificate)


def test_subject_says_user_and_groups(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("leaf", name="somebody", organizations=["one", "two"])

    assert read_certificate(pair.certificate).subject.rfc4514_string() == "CN=somebody,O=two,O=one"


def test_second_authority_of_the_folder_changes_nothing(tmp_path: Path) -> None:
    Authority(tmp_path).issue("leaf", name="somebody", hosts=["127.0.0.1"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    Authority(tmp_path).issue("leaf", name="somebody", hosts=["127.0.0.1"])

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("damaged", ["leaf.crt", "leaf.key", "ca.crt", "ca.key"])
def test_missing_file_is_made_again_and_all_fit(tmp_path: Path, damaged: str) -> None:
    Authority(tmp_path).issue("leaf", name="somebody")
    (tmp_path / damaged).unlink()

    authority = Authority(tmp_path)
    pair = authority.issue("leaf", name="somebody")

    assert openssl("verify", "-CAfile", authority.certificate, pair.certificate).endswith(": OK\n")
    assert openssl("x509", "-in", pair.certificate, "-noout", "-pubkey") == openssl("pkey", "-in", pair.key, "-pubout")


@pytest.mark.parametrize(
    ("name", "organizations", "hosts"),
    [("other", (), ("127.0.0.1",)), ("somebody", ("group",), ("127.0.0.1",)), ("somebody", (), ("127.0.0.2",)), ("somebody", (), ())],
)
def test_certificate_that_says_something_else_is_replaced(
    tmp_path: Path, name: str, organizations: Sequence[str], hosts: Sequence[str]
) -> None:
    authority = Authority(tmp_path)
    before = authority.issue("leaf", name="somebody", hosts=["127.0.0.1"]).certificate.read_bytes()

    assert authority.issue("leaf", name=name, organizations=organizations, hosts=hosts).certificate.read_bytes() != before


def test_certificate_near_its_end_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(certificates, "LIFETIME", dt.timedelta(days=29))
        before = authority.issue("leaf", name="somebody").certificate.read_bytes()

    after = authority.issue("leaf", name="somebody").certificate

    assert after.read_bytes() != before
    assert read_certificate(after).not_valid_after_utc > dt.datetime.now(dt.UTC) + dt.timedelta(days=364)


def test_private_files_are_the_owners_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("leaf", name="somebody")
    kubeconfig = authority.kubeconfig(tmp_path / "kubeconfig", server="https://127.0.0.1:1", pair=pair)

    for path in (authority.pair.key, authority.service_account_key, pair.key, kubeconfig):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_kubeconfig_carries_working_credentials(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    server, client = authority.issue("server", name="server", hosts=["127.0.0.1"]), authority.issue("client", name="client")

    document = yaml.safe_load(authority.kubeconfig(tmp_path / "kubeconfig", server="https://127.0.0.1:1", pair=client).read_text())

    (user,), (cluster,), (context,) = document["users"], document["clusters"], document["contexts"]
    assert document["current-context"] == context["name"]
    assert (context["context"]["user"], context["context"]["cluster"]) == (user["name"], cluster["name"])
    assert cluster["cluster"]["server"] == "https://127.0.0.1:1"
    assert handshake(server=server, client=client, authority=authority.certificate) == "client"


def handshake(*, server: KeyPair, client: KeyPair, authority: Path) -> str:
    """Shake hands in memory, both sides verified, and return the name that the server sees."""
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.load_cert_chain(server.certificate, server.key)
    client_side = ssl.create_default_context(cafile=authority)
    client_side.load_cert_chain(client.certificate, client.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client_side.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server_side.wrap_bio(to_server, to_client, server_side=True),
    ]
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    seen = x509.load_der_x509_certificate(ends[1].getpeercert(binary_form=True) or b"")
    return str(seen.subject.rfc4514_string()).removeprefix("CN=")
