"""TLS certificates of a SuperLink, and keys of its SuperNodes, for tests, trials and small federations.

If you have a certificate authority, use its files: `Certificates(authority, certificate, key)` takes any paths.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 365
AUTHORITY, SERVER = "langevax authority", "langevax SuperLink"


class Certificates(NamedTuple):
    """PEM files: the authority's certificate, which clients trust; the server's, signed by it; and the server's key."""

    authority: Path
    certificate: Path
    key: Path


class NodeKey(NamedTuple):
    """A SuperNode's private key, which stays with it, and its public key, which is registered with the SuperLink."""

    private: Path
    public: Path


def make_certificates(
    folder: str | Path, hosts: Iterable[str] = ("localhost", "127.0.0.1")
) -> Certificates:
    """Make an authority and a certificate for a server that is reached as `hosts`, names or addresses, for a year.

    The authority's own key is not kept: nothing else can be signed by it. Files that exist are never overwritten.

    Example:
        >>> import tempfile
        >>> from langevax.flower.engines.credentials import make_certificates
        >>> made = make_certificates(tempfile.mkdtemp(), hosts=["localhost", "127.0.0.1", "10.0.0.7"])
        >>> made.authority.read_text().splitlines()[0]
        '-----BEGIN CERTIFICATE-----'
    """
    names = [
        _host_name(host) for host in ([hosts] if isinstance(hosts, str) else hosts)
    ]
    if not names:
        raise ValueError(
            "hosts is empty; name at least one name or address under which the server is reached."
        )
    folder = _created(folder)
    made = Certificates(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    if existing := [path for path in made if path.exists()]:
        raise ValueError(
            f"{str(existing[0])!r} is there already; pass another folder, or remove it to make it anew."
        )
    authority_key, server_key = (
        generate_private_key(SECP256R1()),
        generate_private_key(SECP256R1()),
    )
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    unused = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    )
    usage = x509.KeyUsage(
        **dict.fromkeys((*unused, "encipher_only", "decipher_only"), False),
        key_cert_sign=True,
        crl_sign=True,
    )
    authority = (
        _certificate(AUTHORITY, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(authority_id, critical=False)
        .add_extension(usage, critical=True)
    )
    server = (
        _certificate(SERVER, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                authority_id
            ),
            critical=False,
        )
    )
    made.authority.write_bytes(
        authority.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)
    )
    made.certificate.write_bytes(
        server.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)
    )
    _write_private(made.key, server_key, PrivateFormat.PKCS8)
    return made


def make_node_key(folder: str | Path, name: str) -> NodeKey:
    """Make the keys of one SuperNode (ECDSA on P-384, as Flower requires): NAME, readable by its owner, and NAME.pub.

    A key that exists is never overwritten.
    """
    private = _created(folder) / name
    if private.exists():
        raise ValueError(
            f"name is {name!r}, and {str(private)!r} is there already; pass another name or remove it."
        )
    key = generate_private_key(SECP384R1())
    _write_private(private, key, PrivateFormat.OpenSSH)
    public = private.with_name(name + ".pub")
    public.write_bytes(
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"
    )
    return NodeKey(private, public)


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate(subject: str, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """A certificate of `key` by the authority, without extensions."""

    def name(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(
            issuer_name=name(AUTHORITY),
            subject_name=name(subject),
            public_key=key.public_key(),
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
    )


def _write_private(
    path: Path, key: EllipticCurvePrivateKey, form: PrivateFormat
) -> None:
    content = key.private_bytes(Encoding.PEM, form, NoEncryption())
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _created(folder: str | Path) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)
