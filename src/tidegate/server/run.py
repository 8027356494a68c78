"""uvicorn around the gateway: its signals, its fast path, and an orderly end.

SIGTERM and SIGINT: ``/readyz`` says 503, and after ``drain_delay`` new streams are refused; live ones get
``drain_timeout``, and what is left then ends with an error event. The same signal again ends at once. SIGHUP reads
the configuration and the secrets again.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidegate.errors import ConfigError, ShutDown, TidegateError
from tidegate.server.app import GatewayApp, create_app
from tidegate.server.fastpath import protocol_class
from tidegate.server.gateway import Gateway
from tidegate.server.negotiation import Negotiation
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.server.tls import Certificates
from tidegate.upstream.options import UpstreamOptions

__all__ = ["BACKLOG", "GOODBYE", "GatewayServer", "on_signals", "run", "run_loop", "serve", "url_of"]

KEEP_ALIVE: Final = 75
"""Seconds that an idle client connection is kept: above the 60 s of common balancers, so that they close first."""

BACKLOG: Final = 4096
"""Connections that wait to be accepted: a thousand clients may come in the same moment."""

GOODBYE: Final = 5
"""Seconds that connections have to take their last bytes once no stream is left."""

TICK: Final = 1.0
"""Seconds between two looks at the clock: for the answers' ``date``."""

Background = Callable[[], AbstractAsyncContextManager[UpstreamOptions]]
Result = TypeVar("Result")

_log = structlog.get_logger()


def run(
    options: GatewayOptions,
    *,
    on_ready: Callable[[str], None] | None = None,
    reload: Callable[[], GatewayOptions] | None = None,
    background: Sequence[Background] = (),
) -> None:
    """Serve until a signal says to stop; returns when everything is closed.

    :param on_ready: told the URL once requests are welcome.
    :param reload: makes the options anew, for SIGHUP.
    :param background: model servers that run inside this process as long as it serves.
    :raises ConfigError: the options cannot work.
    """
    run_loop(serve(options, on_ready=on_ready, reload=reload, background=background))


def run_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """Run it on uvloop, or where that is not installed on the standard library's loop."""
    if find_spec("uvloop") is not None:
        import uvloop

        return uvloop.run(main)
    return asyncio.run(main)


async def serve(
    options: GatewayOptions,
    *,
    on_ready: Callable[[str], None] | None = None,
    reload: Callable[[], GatewayOptions] | None = None,
    background: Sequence[Background] = (),
) -> None:
    """As :func:`run`, on the running loop."""
    if options.server.workers != 1:
        raise ConfigError("server.workers: this is one process; `tidegate serve` starts several.")
    async with AsyncExitStack() as stack:
        started = [await stack.enter_async_context(make()) for make in background]

        def complete(given: GatewayOptions) -> GatewayOptions:
            return replace(given, upstreams=(*given.upstreams, *started))

        app = create_app(complete(options))
        await app.state.gateway.start()
        server = GatewayServer(
            app, options, on_ready=on_ready, reload=None if reload is None else lambda: complete(reload())
        )
        await server.serve()


def url_of(sock: socket.socket, *, tls: bool = False) -> str:
    """The URL under which a socket that is listened on can be reached from this machine."""
    scheme = "https" if tls else "http"
    host, port = sock.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"


@contextmanager
def on_signals(handlers: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Call these on the running loop, as long as the block lasts."""
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


class _Config(uvicorn.Config):
    """uvicorn's, with a TLS context that is there already."""

    def __init__(self, app: GatewayApp, context: ssl.SSLContext | None, **given: Any) -> None:
        super().__init__(app, **given)
        self._context = context

    def load(self) -> None:
        super().load()
        self.ssl = self._context


def _protocol(options: ServerOptions, http1: type[HttpToolsProtocol]) -> Any:
    """What makes the protocol of a connection: uvicorn's, or what decides between it and HTTP/2."""
    if not (options.h2c or (options.tls_cert and options.http2)):
        return http1
    from tidegate.server.http2.connection import Http2Protocol

    http2 = partial(Http2Protocol, direct=options.fast_path)
    return partial(Negotiation, http1=http1, http2=http2, h2c=options.h2c)


class GatewayServer(uvicorn.Server):
    """uvicorn's server with our signals."""

    def __init__(
        self,
        app: GatewayApp,
        options: GatewayOptions,
        *,
        on_ready: Callable[[str], None] | None = None,
        reload: Callable[[], GatewayOptions] | None = None,
    ) -> None:
        certificates = Certificates(options.server) if options.server.tls_cert else None
        self._over = asyncio.Event()
        super().__init__(
            _Config(
                app,
                None if certificates is None else certificates.context,
                host=options.server.host,
                port=options.server.port,
                http=_protocol(options.server, self.http1(options.server)),
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GOODBYE,
            )
        )
        self.gateway: Gateway = app.state.gateway
        self._certificates = certificates
        self._drain_timeout = options.server.drain_timeout
        self._drain_delay = options.server.drain_delay
        self._on_ready = on_ready
        self._reload = reload
        self._draining: asyncio.Task[None] | None = None

    @property
    def should_exit(self) -> bool:
        """As uvicorn sets and reads it; here somebody may wait for it."""
        return self._over.is_set()

    @should_exit.setter
    def should_exit(self, over: bool) -> None:
        if over:
            self._over.set()

    def http1(self, options: ServerOptions) -> type[HttpToolsProtocol]:
        """The protocol of a connection that speaks HTTP/1.1."""
        return (protocol_class() if options.fast_path else None) or HttpToolsProtocol

    @property
    def url(self) -> str:
        """Where it listens; asking is allowed once it has started."""
        return url_of(self.servers[0].sockets[0], tls=self._certificates is not None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # What exists now lives until the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # Streams hold few cycles; looking for them every 700 allocations costs more than the streams' own code.
        gc.set_threshold(20_000, 20, 20)
        if self._on_ready is not None:
            self._on_ready(self.url)

    async def main_loop(self) -> None:
        """uvicorn's looks ten times a second whether it is over; to be woken for that costs more than to be told."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets=sockets)
        if self.force_exit:
            # uvicorn leaves it out then; the loop's end would cancel the application, which is a traceback in the log.
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """On the loop and without raising them again: a clean end is exit code 0."""
        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop}
        if self._reload is not None:
            handlers[signal.SIGHUP] = self.reload
        with on_signals(handlers):
            yield

    def stop(self) -> None:
        """Once: drain. Again: now."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())
            _log.info("server.draining", live=len(self.gateway.relay.registry), timeout=self._drain_timeout)
            return
        self._draining.cancel()
        self.gateway.relay.draining = True
        for stream in self.gateway.relay.registry:
            stream.shut_down(ShutDown("The gateway was stopped."))
        self.should_exit = self.force_exit = True

    async def _drain(self) -> None:
        self.gateway.ready = False
        await asyncio.sleep(self._drain_delay)
        late = await self.gateway.relay.drain(self._drain_timeout)
        if late:
            _log.warning("server.drain_timeout", ended=late)
        self.should_exit = True

    def reload(self) -> None:
        """Read everything again; what is wrong with it is said in the log, and then nothing changes."""
        assert self._reload is not None
        try:
            options = self._reload()
            renewed = None if self._certificates is None else self._certificates.renewed(options.server)
            self.gateway.reload(options)
            if self._certificates is not None:
                self._certificates.use(renewed)
        except TidegateError as error:
            _log.error("server.reload_failed", error=error.message)
