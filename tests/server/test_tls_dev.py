"""server/tls_dev.py: a certificate for this machine, made once, that can sign nothing else."""

from __future__ import annotations

import datetime
import ssl
import sys
from pathlib import Path

import pytest
from cryptography import x509

from tidegate.errors import ConfigError
from tidegate.server import tls_dev
from tidegate.server.options import ServerOptions
from tidegate.server.tls import tls_problem
from tidegate.server.tls_dev import dev_certificate


def test_it_is_made_once_and_serves(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    cert, key = dev_certificate(folder)
    made = cert.read_bytes()
    assert tls_problem(ServerOptions(tls_cert=str(cert), tls_key=str(key))) is None
    assert key.stat().st_mode & 0o777 == 0o600
    assert dev_certificate(folder) == (cert, key)
    assert cert.read_bytes() == made
    assert sorted(path.name for path in folder.iterdir()) == ["tls-dev.key", "tls-dev.pem"]


def test_it_can_sign_nothing_else(tmp_path: Path) -> None:
    cert, _ = dev_certificate(tmp_path)
    made = x509.load_pem_x509_certificate(cert.read_bytes())
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not made.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    context = ssl.create_default_context(cafile=str(cert))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT


@pytest.mark.parametrize("why", ["ends soon", "another machine", "broken", "no key"])
def test_one_that_no_longer_serves_is_made_anew(tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        if why == "ends soon":
            patched.setattr(tls_dev, "DAYS", 5)
        if why == "another machine":
            patched.setattr("socket.gethostname", lambda: "elsewhere")
        cert, key = dev_certificate(tmp_path)
    if why == "broken":
        cert.write_text("nothing")
    if why == "no key":
        key.unlink()
    before = cert.read_bytes()
    dev_certificate(tmp_path)
    assert cert.read_bytes() != before
    left = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left > datetime.timedelta(80)


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"pip install 'tidegate\[edge\]'"):
        dev_certificate(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        dev_certificate(tmp_path / "file")
