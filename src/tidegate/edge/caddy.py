"""Caddy: a whole ``Caddyfile``, with HTTP/3 where there is a domain."""

from __future__ import annotations

from tidegate.edge.site import IDLE, Site

__all__ = ["caddy"]


def caddy(site: Site) -> str:
    """The text of the file."""
    address, _, port = site.address.rpartition(":")
    bind = f"\n    bind {address}" if address else ""
    name = f"{site.domain}:{port}" if site.domain and site.listen else site.domain or f"http://:{port}"
    tls = f"\n    tls {site.certificate} {site.key}" if site.domain and site.certificate else ""
    about = (
        "# HTTP/1.1, HTTP/2 and HTTP/3 (open the UDP port, too), with a certificate that Caddy gets and renews."
        if site.domain
        else "# Plain HTTP. With --domain Caddy gets a certificate, and speaks HTTP/2 and HTTP/3."
    )
    text = f"""\
# Tidegate behind Caddy. Check it with: caddy validate --adapter caddyfile --config Caddyfile
{about}
{{
    servers {{
        protocols h1 h2{" h3" if site.domain else ""}
        timeouts {{
            idle {IDLE}s
        }}
    }}
}}

{name} {{{bind}{tls}
    # No `encode`: the gateway compresses, and flushes each event.
    request_body {{
        max_size {site.megabytes}MB # as [server] max_request_bytes
    }}
    # No `flush_interval -1`: a body of unknown length is passed on at once without it, and with it Caddy keeps its
    # request to the gateway when the reader has left, and the model thinks on for nobody.
    reverse_proxy {" ".join(site.gateways)} {{
        lb_policy least_conn # streams live long: their number is the load
{_balance(len(site.gateways))}
        transport http {{
            response_header_timeout {site.timeout}s # longer than heartbeat and answer
            compression off
        }}
    }}
}}
"""
    return text.replace("    ", "\t")  # as `caddy fmt` has it


def _balance(gateways: int) -> str:
    if gateways == 1:
        return "        lb_retries 0 # the gateway retries, and knows when it may"
    return f"""\
        lb_retries {min(gateways, 3) - 1} # only of a gateway that is not there: it retries by itself
        fail_duration 10s # so long another one is asked
        health_uri /readyz # 503 while a process drains
        health_interval 1s"""
