"""The one error tree. Each class says whose fault it is, so that whoever is paged knows where to look first.

::

    TidegateError
    ├── ClientFault                 the application sent something we cannot serve
    │   ├── InvalidRequest          400  not JSON, wrong type, missing field
    │   ├── Unauthorized            401  no key, or one we do not know
    │   ├── Forbidden               403  the key is good, but not for this
    │   ├── ModelNotFound           404  no upstream serves that model
    │   ├── StreamNotFound          404  no such stream, or not yours
    │   ├── MethodNotAllowed        405
    │   ├── RequestTimeout          408  the request body came too slowly
    │   ├── RequestTooLarge         413  the request body is over the limit
    │   └── LimitReached            429  before a stream, or in the middle of one
    │       ├── RateLimited              too many requests, tokens or streams: later
    │       └── OutOfBudget              the money of the period is spent
    ├── GatewayFault                we cannot serve it
    │   ├── ConfigError             start-up only: a configuration that cannot work
    │   ├── Draining                503  shutting down; try another replica
    │   ├── Overloaded              503  a pool or a limit of ours is full
    │   ├── ReplicaSilent           503  the process that has the stream did not answer
    │   ├── LinkLost                     another process of this gateway has gone
    │   │   └── NoAnswer                 it is there, and did not answer in time
    │   └── InternalError           500  a bug
    ├── UpstreamFault               the model server failed
    │   ├── ConnectFailed           502  retryable: no connection
    │   │   ├── NameNotResolved
    │   │   ├── ConnectionRefused
    │   │   ├── TlsFailed                not retryable on the same upstream
    │   │   ├── ProxyFailed
    │   │   └── ConnectTimeout      504
    │   ├── StaleConnection         502  a pooled connection died before a byte of the answer came: try a fresh one
    │   ├── UpstreamRefused         its 4xx: its status and message pass on
    │   ├── UpstreamFailed          502  its 5xx
    │   ├── UpstreamCut             502  the answer ended before it was complete
    │   │   └── StreamTruncated          what the client raises: with the text that came, and the stream's id
    │   ├── UpstreamProtocolError   502  not HTTP, or not the dialect
    │   │   ├── HeadTooLarge
    │   │   └── EventTooLarge
    │   ├── UpstreamErrorEvent      502  it reported an error inside a 200 stream
    │   ├── InvalidOutput           502  its answer is not what it was asked for, and the configuration wants it ended
    │   └── UpstreamTimeout         504
    │       ├── FirstTokenTimeout
    │       ├── IdleTimeout
    │       └── TotalTimeout
    └── StreamEnded                 a live stream was ended from outside
        ├── Cancelled               499  DELETE on the stream
        └── ShutDown                503  the drain timeout ran out

``status`` is the HTTP status while there is still a head to write; afterwards the same object becomes an error
event. ``public()`` is the only text that ever reaches a client: it is in OpenAI's error shape and must hold no
secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

__all__ = [
    "Cancelled",
    "ClientFault",
    "ConfigError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionRefused",
    "Draining",
    "EventTooLarge",
    "FirstTokenTimeout",
    "Forbidden",
    "GatewayFault",
    "HeadTooLarge",
    "IdleTimeout",
    "InternalError",
    "InvalidOutput",
    "InvalidRequest",
    "LimitReached",
    "LinkLost",
    "MethodNotAllowed",
    "ModelNotFound",
    "NameNotResolved",
    "NoAnswer",
    "OutOfBudget",
    "Overloaded",
    "ProxyFailed",
    "RateLimited",
    "ReplicaSilent",
    "RequestTimeout",
    "RequestTooLarge",
    "ShutDown",
    "StaleConnection",
    "StreamEnded",
    "StreamNotFound",
    "StreamTruncated",
    "TidegateError",
    "TlsFailed",
    "TotalTimeout",
    "Unauthorized",
    "UpstreamCut",
    "UpstreamErrorEvent",
    "UpstreamFailed",
    "UpstreamFault",
    "UpstreamProtocolError",
    "UpstreamRefused",
    "UpstreamTimeout",
]

Fault = Literal["client", "gateway", "upstream"]
Headers = Sequence[tuple[bytes, bytes]]


class TidegateError(Exception):
    """Root of the tree. Class attributes are the defaults of their kind; instances may narrow them.

    :param message: one sentence for a human: what was wrong and what to do. Never a key, prompt or completion.
    :param code: machine-readable code in the OpenAI error object; the class's own when not given.
    :param param: the request field at fault, when there is one.
    :param status: overrides the class's HTTP status (an upstream's own 4xx passes on).
    :param retry_after: seconds after which a retry makes sense; becomes ``Retry-After``.
    """

    fault: ClassVar[Fault] = "gateway"
    type: ClassVar[str] = "api_error"
    default_code: ClassVar[str] = "internal_error"
    default_status: ClassVar[int] = 500
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else self.default_code
        self.param = param
        self.status = status if status is not None else self.default_status
        self.retry_after = retry_after
        self.retryable = retryable if retryable is not None else self.default_retryable

    def public(self, stream_id: str | None = None) -> dict[str, Any]:
        """The error in OpenAI's shape: ``{"error": {"message", "type", "code", "param"[, "stream_id"]}}``."""
        body: dict[str, Any] = {"message": self.message, "type": self.type, "code": self.code, "param": self.param}
        if stream_id is not None:
            body["stream_id"] = stream_id
        return {"error": body}


class ClientFault(TidegateError):
    """The application's fault: repeating the same request gives the same answer."""

    fault = "client"
    type = "invalid_request_error"
    default_code = "invalid_request"
    default_status = 400


class InvalidRequest(ClientFault):
    """400: the body is not JSON, misses a field, or has one of the wrong type."""


class Unauthorized(ClientFault):
    """401: no key, or one that is unknown, expired or revoked."""

    type = "authentication_error"
    default_code = "invalid_api_key"
    default_status = 401


class Forbidden(ClientFault):
    """403: the key is good, but not for this."""

    type = "permission_error"
    default_code = "forbidden"
    default_status = 403


class ModelNotFound(ClientFault):
    """404: no upstream of ours serves the model, or the key may not use it."""

    default_code = "model_not_found"
    default_status = 404


class StreamNotFound(ClientFault):
    """404: no such stream, or it belongs to another key (the answer does not tell which)."""

    default_code = "stream_not_found"
    default_status = 404


class MethodNotAllowed(ClientFault):
    """405."""

    default_code = "method_not_allowed"
    default_status = 405


class RequestTimeout(ClientFault):
    """408: the request body did not arrive in time."""

    default_code = "request_timeout"
    default_status = 408


class RequestTooLarge(ClientFault):
    """413: the request body is larger than ``server.max_request_bytes``."""

    default_code = "request_too_large"
    default_status = 413


class LimitReached(ClientFault):
    """A limit on what a client may use; before a stream, or in the middle of one.

    :param cause: ``requests``, ``tokens``, ``streams`` or ``budget``.
    :param headers: where the limits stand.
    """

    default_status = 429

    def __init__(self, message: str, *, cause: str = "", headers: Headers = (), **more: Any) -> None:
        super().__init__(message, **more)
        self.cause = cause
        self.headers = headers


class RateLimited(LimitReached):
    """429: too many requests or tokens in a minute, or streams at the same time."""

    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class OutOfBudget(LimitReached):
    """429: the budget of a key is spent. OpenAI's word for it."""

    type = "insufficient_quota"
    default_code = "insufficient_quota"


class GatewayFault(TidegateError):
    """Ours."""


class ConfigError(GatewayFault):
    """Start-up only: the configuration cannot work. The command line prints the message and exits 2."""

    default_code = "config_error"


class Draining(GatewayFault):
    """503: this process is shutting down; another replica will take the stream."""

    type = "server_error"
    default_code = "draining"
    default_status = 503


class Overloaded(GatewayFault):
    """503: one of our own pools or limits is full."""

    type = "server_error"
    default_code = "overloaded"
    default_status = 503


class ReplicaSilent(GatewayFault):
    """503: the process that has the stream, or may have it, did not answer; what was asked for may have been done."""

    type = "server_error"
    default_code = "replica_silent"
    default_status = 503


class LinkLost(GatewayFault):
    """The process on the other side has gone, or did not answer what it was asked."""


class NoAnswer(LinkLost):
    """It is there, and did not answer in time."""


class InternalError(GatewayFault):
    """500: a bug of ours. The message never holds the exception's text."""


class UpstreamFault(TidegateError):
    """The model server's."""

    fault = "upstream"
    type = "upstream_error"
    default_code = "upstream_error"
    default_status = 502


class ConnectFailed(UpstreamFault):
    """No connection to the model server; nothing was sent, so another try is safe."""

    default_code = "upstream_unreachable"
    default_retryable = True


class NameNotResolved(ConnectFailed):
    """DNS knows no address for the upstream's host."""


class ConnectionRefused(ConnectFailed):
    """Nobody listens there, or the network is unreachable."""


class TlsFailed(ConnectFailed):
    """The TLS handshake failed: certificate not trusted, wrong name, no common protocol."""

    default_code = "upstream_tls_failed"


class ProxyFailed(ConnectFailed):
    """The HTTP proxy refused the CONNECT."""


class ConnectTimeout(ConnectFailed):
    """No connection within ``connect_timeout``."""

    default_code = "connect_timeout"
    default_status = 504


class StaleConnection(UpstreamFault):
    """A kept-alive connection was closed by the upstream before one byte of this answer came (RFC 9110 §9.2.2).

    Retry at once on a fresh connection; it does not count as an attempt.
    """

    default_retryable = True


class UpstreamRefused(UpstreamFault):
    """The upstream answered 4xx. Its status and (redacted) message pass on."""

    default_code = "upstream_refused"
    default_status = 400


class UpstreamFailed(UpstreamFault):
    """The upstream answered 5xx."""

    default_retryable = True


class UpstreamCut(UpstreamFault):
    """The answer ended without a finish reason, or in the middle of an event."""

    default_code = "upstream_cut"
    default_retryable = True


class StreamTruncated(UpstreamCut):
    """The client's: a stream that had begun did not reach its end. ``__cause__`` says why, ``code`` in one word.

    :param text: the answer so far, so that an application can show it as unfinished. Not part of the message.
    :param stream_id: the gateway's name for the stream, where there is one.
    """

    def __init__(
        self, message: str, *, text: str = "", stream_id: str | None = None, code: str | None = None, **more: Any
    ) -> None:
        super().__init__(message, code=code, **more)
        self.text = text
        self.stream_id = stream_id


class UpstreamProtocolError(UpstreamFault):
    """What came is not HTTP/1.1, or not the dialect that the upstream is configured for."""

    default_code = "upstream_protocol_error"
    default_retryable = True


class HeadTooLarge(UpstreamProtocolError):
    """The response head is over the limit."""


class EventTooLarge(UpstreamProtocolError):
    """One event is over the limit."""

    default_code = "event_too_large"


class UpstreamErrorEvent(UpstreamFault):
    """The upstream reported an error inside a stream that had begun with 200."""

    default_retryable = True


class InvalidOutput(UpstreamFault):
    """The answer can no longer become what was asked for, and ``strict_json = "cut"`` ends it there."""

    default_code = "invalid_output"


class UpstreamTimeout(UpstreamFault):
    """The upstream was too slow."""

    type = "timeout_error"
    default_status = 504


class FirstTokenTimeout(UpstreamTimeout):
    """No token within ``first_token_timeout``."""

    default_code = "first_token_timeout"
    default_retryable = True


class IdleTimeout(UpstreamTimeout):
    """The upstream was silent for ``idle_timeout`` between tokens."""

    default_code = "idle_timeout"


class TotalTimeout(UpstreamTimeout):
    """The stream was not complete within ``total_timeout``."""

    default_code = "total_timeout"


class StreamEnded(TidegateError):
    """A live stream was ended from outside; no further event follows."""


class Cancelled(StreamEnded):
    """DELETE on the stream. (499 is nginx's "client closed request".)"""

    type = "cancelled"
    default_code = "client_cancel"
    default_status = 499


class ShutDown(StreamEnded):
    """The gateway is shutting down and ``drain_timeout`` ran out."""

    type = "server_error"
    default_code = "shutdown"
    default_status = 503
