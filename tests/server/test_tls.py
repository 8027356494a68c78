"""server/tls.py: what is wrong with a certificate is said; another one takes its place without a restart."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.fakes.http2 import authority
from tidegate.errors import ConfigError
from tidegate.server import tls
from tidegate.server.options import ServerOptions
from tidegate.server.tls import Certificates, tls_problem


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with what is needed, and with what is not."""
    made = authority().issue_cert("localhost")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority().issue_cert("localhost").private_key_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "text.pem").write_text("no PEM at all")
    command = ["openssl", "pkcs8", "-topk8", "-in", "key.pem", "-out", "locked.pem", "-passout", "pass:secret"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def options(files: Path, cert: str, key: str, *, http2: bool = True, h2c: bool = False) -> ServerOptions:
    return ServerOptions(
        tls_cert=str(files / cert) if cert else "", tls_key=str(files / key) if key else "", http2=http2, h2c=h2c
    )


@pytest.mark.parametrize(("cert", "key"), [("cert.pem", "key.pem"), ("both.pem", ""), ("", "")])
def test_a_certificate_and_its_key_serve_in_two_files_or_in_one(files: Path, cert: str, key: str) -> None:
    assert tls_problem(options(files, cert, key)) is None


@pytest.mark.parametrize(
    ("cert", "key", "setting", "said"),
    [
        ("", "key.pem", "tls_key", "has no tls_cert beside it"),
        ("gone.pem", "key.pem", "tls_cert", "cannot be read: no such file"),
        ("cert.pem", "gone.pem", "tls_key", "cannot be read: no such file"),
        (".", "key.pem", "tls_cert", "cannot be read: is a directory"),
        ("a\0b", "key.pem", "tls_cert", "cannot be read: no such name"),
        ("text.pem", "key.pem", "tls_cert", "holds no certificate in PEM"),
        ("key.pem", "key.pem", "tls_cert", "holds no certificate in PEM"),
        ("cert.pem", "text.pem", "tls_key", "holds no key in PEM"),
        ("cert.pem", "", "tls_cert", "holds no key"),
        ("cert.pem", "other.pem", "tls_key", "is not the key of the certificate"),
        ("cert.pem", "locked.pem", "tls_key", "holds a key with a password"),
    ],
)
def test_what_is_wrong_is_said_with_the_setting(files: Path, cert: str, key: str, setting: str, said: str) -> None:
    problem = tls_problem(options(files, cert, key))
    assert problem is not None
    assert problem[0] == setting
    assert said in problem[1]
    with pytest.raises(ConfigError, match=rf"^server\.{setting} .*{said}"):
        Certificates(options(files, cert, key))


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        (lambda files: options(files, "cert.pem", "key.pem"), "http2"),
        (lambda files: ServerOptions(h2c=True), "h2c"),
        (lambda files: options(files, "cert.pem", "key.pem", http2=False), None),
        (lambda files: ServerOptions(), None),
    ],
)
def test_http2_needs_its_library(
    given: Callable[[Path], ServerOptions], setting: str | None, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, the port can still speak TLS and HTTP/1.1."""
    monkeypatch.setattr(tls, "find_spec", lambda name: None)
    problem = tls_problem(given(files))
    assert (problem and problem[0]) == setting
    assert problem is None or "pip install 'tidegate[edge]'" in problem[1]


def handshake(server: ssl.SSLContext, name: str | None, trusted: trustme.CA, *offered: str) -> tuple[bytes, str | None]:
    """The certificate that a client gets, and the protocol that is agreed on."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    trusted.configure_trust(client)
    if offered:
        client.set_alpn_protocols(offered)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(ours, theirs, server_hostname=name)
    other = server.wrap_bio(theirs, ours, server_side=True)
    left = [one, other]
    for _ in range(10):
        for side in list(left):
            try:
                side.do_handshake()
                left.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert not left
    certificate = one.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate, other.selected_alpn_protocol()


@pytest.mark.parametrize("name", ["localhost", None], ids=["named", "nameless"])
def test_another_certificate_of_another_kind_takes_its_place(files: Path, name: str | None) -> None:
    """Also for clients that name nobody; nothing of the old one is left, although its key was of another kind."""
    served = Certificates(options(files, "cert.pem", "key.pem"))
    before, _ = handshake(served.context, name, authority())
    other = trustme.CA(key_type=trustme.KeyType.RSA)
    made = other.issue_cert("localhost", key_type=trustme.KeyType.RSA)
    made.private_key_pem.write_to_path(files / "key.pem")
    made.cert_chain_pems[0].write_to_path(files / "cert.pem")
    served.use(served.renewed(options(files, "cert.pem", "key.pem")))
    after, agreed = handshake(served.context, name, other, "h2", "http/1.1")
    assert after != before
    assert agreed == "h2"
    served.use(served.renewed(ServerOptions()))
    assert handshake(served.context, name, other)[0] == after, "options without one leave it"
    (files / "key.pem").write_text("broken")
    with pytest.raises(ConfigError, match=r"server\.tls_key"):
        served.renewed(options(files, "cert.pem", "key.pem"))
    assert handshake(served.context, name, other)[0] == after


@pytest.mark.parametrize(("http2", "agreed"), [(True, "h2"), (False, "http/1.1")])
def test_http2_is_offered_unless_it_is_off(files: Path, http2: bool, agreed: str) -> None:
    served = Certificates(options(files, "cert.pem", "key.pem", http2=http2))
    assert handshake(served.context, "localhost", authority(), "h2", "http/1.1")[1] == agreed


def test_old_versions_of_tls_are_refused(files: Path) -> None:
    assert Certificates(options(files, "cert.pem", "key.pem")).context.minimum_version == ssl.TLSVersion.TLSv1_2
