"""HAProxy: a whole ``haproxy.cfg``."""

from __future__ import annotations

from tidegate.edge.site import IDLE, Site

__all__ = ["haproxy"]


def haproxy(site: Site) -> str:
    """The text of the file."""
    servers = "\n".join(
        f"    server gateway{number} {gateway} check" for number, gateway in enumerate(site.gateways, 1)
    )
    return f"""\
# Tidegate behind HAProxy. Check it with: haproxy -c -f haproxy.cfg

defaults
    mode http
    timeout connect 5s
    timeout client {site.timeout}s
    timeout server {site.timeout}s            # longer than heartbeat and answer
    timeout http-keep-alive {IDLE}s
    timeout check 5s              # a gateway that has much to do is not gone
    option http-no-delay          # a token leaves when it comes: without it, 100 ms later
    option abortonclose           # a reader that leaves while the model thinks stops the model
    option forwardfor
    retries 2                     # only of what no gateway has begun: it retries by itself, and knows when it may
    retry-on conn-failure 503     # it is not there, or it drains
    option redispatch 1           # then another one

frontend llm
    bind {_bind(site)}
    http-request deny deny_status 413 if {{ req.body_size gt {site.most_bytes} }}   # as [server] max_request_bytes
    default_backend tidegate

backend tidegate                  # no compression here: the gateway compresses, and flushes each event
    balance leastconn             # streams live long: their number is the load
    option httpchk GET /readyz    # 503 while a process drains
    default-server inter 1s fall 2 rise 1
{servers}
"""


def _bind(site: Site) -> str:
    address = site.address if ":" in site.address else f":{site.address}"
    if not site.domain:
        return address
    return f"{address} ssl crt {site.certificate or f'/etc/haproxy/certs/{site.domain}.pem'} alpn h2,http/1.1"
