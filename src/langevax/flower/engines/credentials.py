"""What a deployment shows and asks for: TLS certificates of the SuperLink, and keys of its SuperNodes.

Made on this machine, for tests, trials and small federations. Where there is an authority of certificates already, use
its files: `Certificates(authority, certificate, key)` takes any paths.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

DAYS = 365


class Certificates(NamedTuple):
    """PEM files: the authority's certificate, which clients trust; the server's, signed by it; and the server's key."""

    authority: Path
    certificate: Path
    key: Path


class NodeKey(NamedTuple):
    """A SuperNode's private key, which stays with it, and its public key, which is registered with the SuperLink."""

    private: Path
    public: Path


def make_certificates(folder: str | Path, hosts: Iterable[str] = ("localhost", "127.0.0.1")) -> Certificates:
    """A new authority and a certificate for a server that is reached under `hosts`, names or addresses, for a year.

    The authority's own key is not kept: nothing else can be signed by it.

    Example:
        >>> import tempfile
        >>> from langevax.flower.engines.credentials import make_certificates
        >>> made = make_certificates(tempfile.mkdtemp(), hosts=["localhost", "127.0.0.1", "10.0.0.7"])
        >>> made.authority.read_text().splitlines()[0]
        '-----BEGIN CERTIFICATE-----'
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    names = [_name(host) for host in ([hosts] if isinstance(hosts, str) else hosts)]
    if not names:
        raise ValueError("hosts is empty; name at least one name or address under which the server is reached.")
    folder = _made(folder)
    now = datetime.datetime.now(datetime.UTC)

    def begun(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        )
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
            now + datetime.timedelta(days=DAYS)
        )

    ours, servers = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = begun("langevax authority", "langevax authority", ours)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority = authority.add_extension(x509.SubjectKeyIdentifier.from_public_key(ours.public_key()), critical=False)
    authority = authority.add_extension(_signs(), critical=True)
    server = begun("langevax SuperLink", "langevax authority", servers)
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    server = server.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours.public_key()), critical=False)
    made = Certificates(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    made.authority.write_bytes(_pem(authority.sign(ours, hashes.SHA256())))
    made.certificate.write_bytes(_pem(server.sign(ours, hashes.SHA256())))
    _write_private(made.key, servers, PrivateFormat.PKCS8)
    return made


def make_node_key(folder: str | Path, name: str) -> NodeKey:
    """A new pair for one SuperNode (ECDSA on P-384, as Flower wants it): NAME, readable by its owner, and NAME.pub.

    Raises:
        ValueError: the key is there already; keys are never overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = _made(folder) / name
    if private.exists():
        raise ValueError(f"name is {name!r}, and {str(private)!r} is there already; pass another name or remove it.")
    key = ec.generate_private_key(ec.SECP384R1())
    _write_private(private, key, serialization.PrivateFormat.OpenSSH)
    public = private.with_name(name + ".pub")
    kinds = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    public.write_bytes(key.public_key().public_bytes(*kinds) + b"\n")
    return NodeKey(private, public)


def _name(host: str):
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _signs():
    from cryptography import x509

    uses = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"], False,
    )  # fmt: skip
    return x509.KeyUsage(**uses, key_cert_sign=True, crl_sign=True)


def _pem(certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _write_private(path: Path, key, form) -> None:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, form, plain)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)


def _made(folder: str | Path) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)
