"""The ASGI application: which path is what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tidegate import __version__
from tidegate.errors import InvalidRequest, ModelNotFound, TidegateError
from tidegate.safety.classifier import Classifier
from tidegate.server.admin import AdminKeys
from tidegate.server.answers import http_error, json_response, raised
from tidegate.server.at_once import EXTENSION
from tidegate.server.calls import CallRoute
from tidegate.server.chat import OWN_SEND, ChatEndpoint
from tidegate.server.compression import coder_for, compressed_send
from tidegate.server.gateway import Gateway
from tidegate.server.options import GatewayOptions
from tidegate.server.reports import ReportRoutes
from tidegate.server.streams import StreamRoutes
from tidegate.shared.bus import Bus
from tidegate.shared.limits import SharedLimits
from tidegate.wire.chat_request import MAX_MODEL_CHARS

__all__ = ["GatewayApp", "create_app"]

PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # The page makes no markup of strings at all; the one policy makes the address of its worker.
    "require-trusted-types-for 'script'; trusted-types tidegate-worker"
)


RATE_HEADERS = [
    f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")
]
"""What a page of another origin may read of where its limits stand."""


class GatewayApp(Starlette):
    """A Starlette application that remembers the ``send`` it was called with.

    Without middleware of its own (no CORS), a chat request goes straight to its endpoint, which answers its own errors.
    """

    direct: Mapping[str, ChatEndpoint] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            extensions = scope.setdefault("extensions", {})
            extensions[OWN_SEND] = send
            endpoint = self.direct.get(get_route_path(scope), super().__call__)
            try:
                await endpoint(scope, receive, send)
            finally:
                # They hold the scope that holds them: without this, every request waits for the garbage collector.
                extensions.pop(OWN_SEND, None)
                extensions.pop(EXTENSION, None)
        else:
            if scope["type"] == "http" and scope["method"] == "GET":
                coder = coder_for(scope, self.state.gateway.options.server.compression)
                send = send if coder is None else compressed_send(send, coder)
            await super().__call__(scope, receive, send)


def create_app(
    config: GatewayOptions | None = None,
    *,
    classifiers: Mapping[str, Classifier] = MappingProxyType({}),
    bus: Bus | None = None,
    limits: SharedLimits | None = None,
) -> GatewayApp:
    """The gateway as an ASGI application; alone under any ASGI server, or mounted in somebody's application.

    It needs no start: the first request connects. Where its lifespan is not run (a mounted application's is not),
    call ``await app.state.gateway.close()`` at the end, so that live streams are closed with their upstreams.

    :param config: ``tidegate.config.load(path)`` makes one of a file; without it, nobody is let in and no model is
        served, which is good for nothing but ``/healthz``.
    :param classifiers: your own, by the names under which ``config.safety.classifiers`` says how they are used.
    :param bus: the way to other processes whose streams are seen from here, where it is not Redis.
    :param limits: limits that are counted elsewhere, where it is not in Redis.
    :raises ConfigError: a secret that the options refer to is not there.
    """
    options = config if config is not None else GatewayOptions()
    gateway = Gateway(options, classifiers=classifiers, bus=bus, limits=limits)
    routes = _routes(gateway)
    app = GatewayApp(
        routes=routes,
        middleware=_middleware(options),
        exception_handlers={HTTPException: http_error, TidegateError: raised},
        lifespan=_lifespan,
    )
    app.state.gateway = gateway
    if not app.user_middleware:
        app.direct = {route.path: route.endpoint for route in routes if isinstance(route.endpoint, ChatEndpoint)}
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    try:
        await app.state.gateway.start()
        yield
    finally:
        await app.state.gateway.close()


def _routes(gateway: Gateway) -> list[Route]:
    streams = StreamRoutes(gateway)
    return [
        Route("/v1/chat/completions", ChatEndpoint(gateway, own_framing=False), methods=["POST"]),
        Route("/api/v1/chat/stream", ChatEndpoint(gateway, own_framing=True), methods=["POST"]),
        Route("/v1/models", _models(gateway)),
        Route("/v1/models/{id:path}", _model(gateway)),
        Route("/v1/streams", streams.list),
        Route("/v1/streams/events", streams.events),
        Route("/v1/streams/{id}", streams.one),
        Route("/v1/streams/{id}", streams.cancel, methods=["DELETE"]),
        Route("/v1/streams/{id}/stop", streams.stop, methods=["POST"]),
        Route("/v1/streams/{id}/seen", streams.seen, methods=["POST"]),
        CallRoute(gateway),
        *AdminKeys(gateway).routes(),
        Route("/admin/usage", ReportRoutes(gateway).usage),
        Route("/healthz", _healthz),
        Route("/readyz", _readyz(gateway)),
        Route("/metrics", _metrics(gateway)),
        Route("/openapi.json", _openapi),
        Route("/", _page("index.html", "text/html")),
        Route("/static/page.js", _page("page.js", "text/javascript")),
        Route("/static/page.css", _page("page.css", "text/css")),
        Route("/static/worker.js", _page("worker.js", "text/javascript")),
    ]


def _middleware(options: GatewayOptions) -> list[Middleware]:
    origins = options.server.cors_origins
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE", "OPTIONS"],
            allow_headers=["*"],
            expose_headers=["x-stream-id", "x-request-id", "retry-after", "retry-after-ms", *RATE_HEADERS],
            max_age=3600,
        )
    ]


def _models(gateway: Gateway) -> Callable[[Request], Any]:
    async def models(request: Request) -> Response:
        """``GET /v1/models``: what this key may use."""
        who = await gateway.who(request.scope)
        listed = [model for model in await gateway.relay.models.listed() if who.may_use(model["id"])]
        return json_response({"object": "list", "data": listed})

    return models


def _model(gateway: Gateway) -> Callable[[Request], Any]:
    async def model(request: Request) -> Response:
        """``GET /v1/models/{id}``: one of them."""
        who, name = await gateway.who(request.scope), request.path_params["id"]
        gateway.relay.admit(name, who)
        for found in await gateway.relay.models.listed():
            if found["id"] == name:
                return json_response(found)
        raise ModelNotFound(f"The model '{name[:MAX_MODEL_CHARS]}' is not listed by its upstream.", param="model")

    return model


async def _healthz(_: Request) -> Response:
    """``GET /healthz``: the process answers."""
    return json_response({"status": "ok", "version": __version__})


def _readyz(gateway: Gateway) -> Callable[[Request], Any]:
    async def readyz(_: Request) -> Response:
        """``GET /readyz``: 200 while new streams are welcome, 503 once the process is about to stop."""
        if gateway.relay.draining or not gateway.ready:
            return json_response({"status": "draining", "live": len(gateway.relay.registry)}, 503, {"retry-after": "1"})
        return json_response({"status": "ready"})

    return readyz


def _metrics(gateway: Gateway) -> Callable[[Request], Any]:
    async def metrics(_: Request) -> Response:
        """``GET /metrics``: Prometheus."""
        body, content_type = gateway.metrics.render() if gateway.everyone is None else await gateway.everyone()
        return Response(body, headers={"content-type": content_type})

    return metrics


async def _openapi(request: Request) -> Response:
    """``GET /openapi.json``: what this interface is, for programs."""
    from tidegate.server.openapi import document  # only for who asks

    return json_response(document(request.scope.get("root_path", "")))


def _page(name: str, media_type: str) -> Callable[[Request], Any]:
    built = files("tidegate.server").joinpath("static", name)
    # A checkout in which nobody has built the page serves everything else.
    body = built.read_bytes() if built.is_file() else None
    headers = {
        "content-security-policy": PAGE_POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }

    async def page(_: Request) -> Response:
        """The page: try a model, watch the streams."""
        if body is None:
            raise InvalidRequest("The page is not built here: run `make page`.", status=404, code="page_not_built")
        return Response(body, media_type=media_type, headers=headers)

    return page
