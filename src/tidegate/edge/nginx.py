"""nginx: a file for ``/etc/nginx/conf.d``."""

from __future__ import annotations

from tidegate.edge.site import IDLE, Site

__all__ = ["nginx"]


def nginx(site: Site) -> str:
    """The text of the file; it belongs inside of ``http { }``."""
    servers = "\n".join(f"    server {gateway};" for gateway in site.gateways)
    return f"""\
# Tidegate behind nginx. Put it into /etc/nginx/conf.d/ and run: nginx -t && nginx -s reload

upstream tidegate {{
    least_conn;                           # streams live long: their number is the load
{servers}
    keepalive 64;
}}

server {{
{_listen(site)}
    client_max_body_size {site.megabytes}m;             # as [server] max_request_bytes
    gzip off;                             # the gateway compresses, and flushes each event
    keepalive_timeout {IDLE}s;

    location / {{
        proxy_pass http://tidegate;
        proxy_http_version 1.1;
        proxy_set_header Connection "";   # keeps connections to the gateway
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_buffering off;              # a token leaves when it comes
        proxy_request_buffering off;
        proxy_read_timeout {site.timeout}s;          # longer than heartbeat and answer
        proxy_send_timeout {site.timeout}s;
        proxy_ignore_client_abort off;    # a reader that leaves stops the model
        proxy_next_upstream error;        # a gateway that is not there; a POST that was sent is not sent again
    }}
}}
"""


def _listen(site: Site) -> str:
    if not site.domain:
        return f"    listen {site.address};"
    folder = f"/etc/letsencrypt/live/{site.domain}"
    return f"""\
    listen {site.address} ssl http2;
    server_name {site.domain};
    ssl_certificate {site.certificate or f"{folder}/fullchain.pem"};
    ssl_certificate_key {site.key or f"{folder}/privkey.pem"};
    ssl_protocols TLSv1.2 TLSv1.3;
    http2_max_concurrent_streams 256;     # a page may have many streams on one connection"""
