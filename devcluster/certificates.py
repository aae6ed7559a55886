"""The devcluster's certificate authority, leaf certificates, service-account key and kubeconfigs, as files of one folder.

Everything is issued when it is missing, does not say what is asked for, or nears its end, and otherwise left alone: a second start
changes nothing. Private keys and kubeconfigs are readable by their owner only.
"""

import base64
import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devcluster.state import write_private

CONTEXT = "chatbot-devcluster"
LIFETIME = dt.timedelta(days=3650)  # nothing rotates in a cluster that is made anew in seconds
RENEWED_BEFORE_END = dt.timedelta(days=30)
CLOCK_SKEW = dt.timedelta(minutes=5)
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster: {{server: "{server}", certificate-authority-data: {authority}}}
users:
- name: {name}
  user: {{client-certificate-data: {certificate}, client-key-data: {key}}}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}}}
current-context: {name}
"""


@dataclass(frozen=True)
class KeyPair:
    """A PEM certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority kept as `<folder>/ca.crt` and `ca.key`; its leaves and the service-account key lie beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pair = self._pair("ca")
        name = subject("devcluster-ca", ())
        if not is_current(self.pair, issuer=None, name=name):
            key = ec.generate_private_key(ec.SECP256R1())
            self._write(self.pair, key, sign(authority_builder(name), key.public_key(), issuer=name, issuer_key=key))
        self.service_account_key = folder / "service-account.key"
        if not self.service_account_key.exists():
            write_private(self.service_account_key, key_pem(ec.generate_private_key(ec.SECP256R1())))

    @property
    def certificate(self) -> Path:
        """The certificate that clients and servers trust."""
        return self.pair.certificate

    def issue(self, file: str, *, name: str, organizations: Sequence[str] = (), hosts: Sequence[str] = ()) -> KeyPair:
        """Return a certificate for `name` (a Kubernetes user; its groups are the organizations), also a server's if it has hosts."""
        pair = self._pair(file)
        issuer = read_certificate(self.certificate)
        user = subject(name, organizations)
        if not is_current(pair, issuer=issuer, name=user, hosts=hosts):
            key = ec.generate_private_key(ec.SECP256R1())
            issuer_key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
            if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
                raise TypeError(f"{self.pair.key} is not an elliptic curve key")
            self._write(pair, key, sign(leaf_builder(user, hosts=hosts), key.public_key(), issuer=issuer.subject, issuer_key=issuer_key))
        return pair

    def kubeconfig(self, path: Path, *, server: str, pair: KeyPair) -> Path:
        """Write a kubeconfig that carries its certificates, so it works from anywhere, and return its path."""
        encoded = {file: base64.b64encode(file.read_bytes()).decode() for file in (self.certificate, pair.certificate, pair.key)}
        content = KUBECONFIG.format(
            name=CONTEXT,
            server=server,
            authority=encoded[self.certificate],
            certificate=encoded[pair.certificate],
            key=encoded[pair.key],
        ).encode()
        if not path.exists() or path.read_bytes() != content:
            write_private(path, content)
        return path

    def _pair(self, file: str) -> KeyPair:
        return KeyPair(self.folder / f"{file}.crt", self.folder / f"{file}.key")

    @staticmethod
    def _write(pair: KeyPair, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        pair.certificate.unlink(missing_ok=True)  # an interruption leaves a missing certificate, never one of another key
        write_private(pair.key, key_pem(key))
        write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def subject(name: str, organizations: Sequence[str]) -> x509.Name:
    """Return the subject that Kubernetes reads as user `name` in these groups."""
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def authority_builder(name: x509.Name) -> x509.CertificateBuilder:
    """Describe a self-signed authority."""
    builder = x509.CertificateBuilder().subject_name(name).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(key_usage(signs_certificates=True), critical=True)


def leaf_builder(name: x509.Name, *, hosts: Sequence[str]) -> x509.CertificateBuilder:
    """Describe a client certificate, and a server's too if there are hosts (IP addresses or DNS names)."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
    builder = x509.CertificateBuilder().subject_name(name).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.add_extension(x509.SubjectAlternativeName([general_name(host) for host in hosts]), critical=False) if hosts else builder


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return what a key may do: sign handshakes, or sign certificates."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def general_name(host: str) -> x509.GeneralName:
    """Return a host as an alternative name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def sign(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Sign what the builder describes for `LIFETIME`."""
    now = dt.datetime.now(dt.UTC)
    builder = builder.public_key(key).issuer_name(issuer).serial_number(x509.random_serial_number())
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    return builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME).sign(issuer_key, hashes.SHA256())


def is_current(pair: KeyPair, *, issuer: x509.Certificate | None, name: x509.Name, hosts: Sequence[str] = ()) -> bool:
    """Say whether the pair exists, lasts, is signed by the issuer (None: by itself), and is for this name and these hosts."""
    if not (pair.certificate.exists() and pair.key.exists()):
        return False
    found = read_certificate(pair.certificate)
    try:
        found.verify_directly_issued_by(issuer or found)
    except (InvalidSignature, ValueError):
        return False
    lasts = found.not_valid_after_utc - dt.datetime.now(dt.UTC) > RENEWED_BEFORE_END
    return lasts and found.subject == name and alternative_names(found) == {general_name(host) for host in hosts}


def alternative_names(certificate: x509.Certificate) -> set[x509.GeneralName]:
    """Return the hosts that a certificate is for."""
    try:
        return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()


def read_certificate(path: Path) -> x509.Certificate:
    """Read a PEM certificate."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM in the form that every Go program reads."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
