"""upstream/proxy.py: which proxy the environment names, and for which upstreams."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tidegate.errors import ConfigError
from tidegate.upstream.proxy import Proxy, proxy_for

HTTPS, HTTP = "https://api.example.com/v1", "http://api.example.com/v1"
P = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": P}, Proxy("proxy", 3128)),
        (HTTPS, {"https_proxy": P, "HTTPS_PROXY": "http://other"}, Proxy("proxy", 3128)),
        (HTTPS, {"HTTP_PROXY": P}, None),
        (HTTP, {"HTTP_PROXY": P}, Proxy("proxy", 3128)),
        (HTTP, {"HTTPS_PROXY": P}, None),
        (HTTP, {"ALL_PROXY": P}, Proxy("proxy", 3128)),
        (HTTPS, {"all_proxy": "proxy"}, Proxy("proxy", 80)),
        (HTTPS, {"https_proxy": " "}, None),
        # Under CGI, HTTP_PROXY is the client's header "Proxy".
        (HTTP, {"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, None),
        (HTTP, {"http_proxy": P, "REQUEST_METHOD": "GET"}, Proxy("proxy", 3128)),
        (HTTPS, {"https_proxy": "http://me:p%40ss@proxy:1"}, Proxy("proxy", 1, "Basic bWU6cEBzcw==")),
        (HTTPS, {"https_proxy": "http://me@proxy:1"}, Proxy("proxy", 1, "Basic bWU6")),
    ],
)
def test_the_environment_names_the_proxy(url: str, environ: dict[str, str], proxy: Proxy | None) -> None:
    assert proxy_for(urlsplit(url), environ) == proxy


@pytest.mark.parametrize(
    ("url", "exceptions", "bypassed"),
    [
        (HTTPS, "*", True),
        (HTTPS, "api.example.com", True),
        (HTTPS, "example.com", True),
        (HTTPS, ".example.com", True),
        (HTTPS, "*.example.com", True),
        (HTTPS, "API.EXAMPLE.COM.", True),
        (HTTPS, "other.org, example.com", True),
        (HTTPS, "ample.com", False),
        (HTTPS, "example.com.evil.org", False),
        (HTTPS, "example.com:443", True),
        (HTTPS, "example.com:80", False),
        (HTTP, "example.com:80", True),
        (HTTPS, " , ,", False),
        ("http://10.1.2.3/v1", "10.0.0.0/8", True),
        ("http://10.1.2.3/v1", "10.1.2.3", True),
        ("http://10.1.2.3:8000/v1", "10.1.2.3:8000", True),
        ("http://10.1.2.3/v1", "192.168.0.0/16", False),
        ("http://[::1]:8000/v1", "[::1]", True),
        ("http://[::1]:8000/v1", "::1", True),
        ("http://[::1]:8000/v1", "[::1]:8000", True),
        ("http://[::1]:8000/v1", "[::1]:9", False),
    ],
)
def test_no_proxy_lists_the_exceptions(url: str, exceptions: str, bypassed: bool) -> None:
    environ = {"all_proxy": P, "no_proxy": exceptions}
    assert (proxy_for(urlsplit(url), environ) is None) == bypassed


@pytest.mark.parametrize("value", ["socks5://user:hunter2@proxy:1", "http://user:hunter2@proxy:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(value: str) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as raised:
        proxy_for(urlsplit(HTTPS), {"https_proxy": value})
    assert "hunter2" not in raised.value.message
    assert raised.value.__cause__ is None


def test_a_proxys_password_is_not_shown() -> None:
    assert "Basic" not in repr(Proxy("proxy", 1, "Basic bWU6"))
