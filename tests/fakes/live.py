"""A live stream in a registry, with neither upstream nor reader."""

from __future__ import annotations

from tests.fakes.downstream import Written
from tidegate.policy.keys import Principal
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.relay.registry import Registry
from tidegate.relay.stream import Stream
from tidegate.wire.chat_request import parse_chat_request

__all__ = ["opened"]

REQUEST = parse_chat_request(b'{"model":"m","messages":[{}],"stream":true}')


def opened(registry: Registry, stream_id: str, who: Principal) -> Stream:
    """A stream that has been admitted, and settles in the registry."""

    def settled(ended: Stream) -> None:
        registry.settle(ended)

    stream = Stream(
        stream_id=stream_id,
        client=who.id,
        request=REQUEST,
        framing=Framing.SSE,
        down=Written(),
        options=StreamOptions(),
        settled=settled,
    )
    registry.add(stream)
    stream.open()
    return stream
