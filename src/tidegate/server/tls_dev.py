"""A certificate for this machine, to try TLS and HTTP/2 with: made here, trusted by nobody until somebody says so."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path

from tidegate.errors import ConfigError

__all__ = ["dev_certificate"]

DAYS = 90
LEFT = 7
"""Days before its end at which another one is made."""


def dev_certificate(folder: Path) -> tuple[Path, Path]:
    """The files of certificate and key; those of before, as long as they serve.

    The certificate signs only itself and can sign nothing else: who trusts it trusts this machine's gateway, no more.

    :raises ConfigError: it cannot be made.
    """
    try:
        from cryptography import x509
    except ImportError:
        raise ConfigError("--tls-dev needs: pip install 'tidegate[edge]'") from None
    cert, key = folder / "tls-dev.pem", folder / "tls-dev.key"
    try:
        made = x509.load_pem_x509_certificate(cert.read_bytes()) if key.is_file() else None
    except (OSError, ValueError):
        made = None
    now = datetime.datetime.now(datetime.UTC)
    names = _names()
    if made is None or made.not_valid_after_utc < now + datetime.timedelta(LEFT) or _names_of(made) != names:
        try:
            _make(cert, key, names, now)
        except OSError as error:
            raise ConfigError(f"--tls-dev: cannot write {folder}: {error.strerror}") from None
    return cert, key


def _names() -> list[str]:
    return ["localhost", *dict.fromkeys((socket.gethostname(),)), "127.0.0.1", "::1"]


def _names_of(made: object) -> list[str]:
    from cryptography import x509

    assert isinstance(made, x509.Certificate)
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [
        *found.get_values_for_type(x509.DNSName),
        *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
    ]


def _make(cert: Path, key: Path, names: list[str], now: datetime.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    secret = ec.generate_private_key(ec.SECP256R1())
    public = secret.public_key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tidegate on this machine")])
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(name)) if name in ("127.0.0.1", "::1") else x509.DNSName(name)
        for name in names
    ]
    usage = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(secret, hashes.SHA256())
    )
    key.parent.mkdir(parents=True, exist_ok=True)
    pem = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    _write(cert, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: another process may be reading."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    new.replace(path)
