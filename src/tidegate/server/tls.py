"""TLS of the gateway's own port: a certificate and its key, from two files, and again from them on SIGHUP."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from pathlib import Path

from tidegate.errors import ConfigError
from tidegate.server.negotiation import ALPN
from tidegate.server.options import ServerOptions

__all__ = ["Certificates", "tls_problem"]


class Certificates:
    """What the listening socket is given, once; what new connections get can be exchanged.

    :raises ConfigError: the files do not serve.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.context = _context(options)

    def renewed(self, options: ServerOptions) -> ssl.SSLContext | None:
        """What the files hold now; ``None`` when the options name none any more: then everything stays as it is.

        :raises ConfigError: it does not serve.
        """
        return _context(options) if options.tls_cert else None

    def use(self, context: ssl.SSLContext | None) -> None:
        """Give it to new connections. Those that are there keep what they have."""
        if context is None:
            return

        # A certificate that is loaded into a context stands beside those of other kinds (RSA, ECDSA) that are there:
        # only another context has nothing of the old one. This is called for every handshake, with a name or without.
        def chosen(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _first: ssl.SSLContext) -> None:
            connection.context = context

        self.context.sni_callback = chosen


def tls_problem(options: ServerOptions) -> tuple[str, str] | None:
    """What is wrong with the TLS of ``[server]``: the setting and a text; ``None``: nothing."""
    if not options.tls_cert:
        if options.tls_key:
            return (
                "tls_key",
                'has no tls_cert beside it; write tls_cert = "fullchain.pem", the certificate with its chain',
            )
        return _missing("h2c") if options.h2c else None
    if options.http2 and (problem := _missing("http2")):
        return problem
    for name in ("tls_cert", "tls_key"):
        path = getattr(options, name)
        try:
            if path:
                Path(path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or "no such name"
            return name, f'is "{path}", which cannot be read: {reason.lower()}'
    try:
        _loaded(options)
    except _Encrypted:
        return "tls_key" if options.tls_key else "tls_cert", (
            "holds a key with a password, which nobody types in here; take it off: openssl pkey -in KEY -out NEW"
        )
    except ssl.SSLError as error:
        return _refused(options, error)
    return None


def _missing(setting: str) -> tuple[str, str] | None:
    if find_spec("h2") is not None:
        return None
    return setting, f"needs HTTP/2: pip install 'tidegate[edge]', or write {setting} = false"


def _refused(options: ServerOptions, error: ssl.SSLError) -> tuple[str, str]:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "tls_key", "is not the key of the certificate in tls_cert (its first one must be the gateway's own)"
    if "-----BEGIN CERTIFICATE-----" not in Path(options.tls_cert).read_text("latin-1"):
        return "tls_cert", f'is "{options.tls_cert}", which holds no certificate in PEM (-----BEGIN CERTIFICATE-----)'
    if not options.tls_key:
        return "tls_cert", "holds no key that can be used; write tls_key, the file that does"
    return (
        "tls_key",
        f'is "{options.tls_key}", which holds no key in PEM that can be used ({error.reason or "unknown"})',
    )


class _Encrypted(Exception):
    """A key asks for its password."""


def _refuse() -> str:
    raise _Encrypted


def _loaded(options: ServerOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.tls_cert, options.tls_key or None, password=_refuse)
    context.set_alpn_protocols(ALPN if options.http2 else ALPN[1:])
    return context


def _context(options: ServerOptions) -> ssl.SSLContext:
    problem = tls_problem(options)
    if problem is not None:
        setting, text = problem
        raise ConfigError(f"server.{setting} {text}")
    return _loaded(options)
