"""Where the endpoint is, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.client.config import StreamConfig, endpoint_of
from tidegate.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLM_STREAM_ENDPOINT", "LLM_API_KEY", "LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)


def test_without_settings_it_is_the_local_gateway() -> None:
    config = StreamConfig()
    assert (config.endpoint, config.api_key) == ("/api/v1/chat/stream", None)
    assert (config.timeout, config.retry_attempts, config.retry_delay) == (30.0, 2, 0.8)
    assert (config.chunk_throttle, config.max_buffer, config.max_tokens, config.temperature) == (0.016, 50, 2048, 0.7)
    assert (config.ttft, config.tpot, config.cancellation, config.finish_reason) == (True, True, True, True)
    assert config.incremental_filter is None
    assert endpoint_of(config.endpoint).url == "http://127.0.0.1:8080/api/v1/chat/stream"


def test_the_environment_names_endpoint_key_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_STREAM_ENDPOINT", "https://host/v1")
    monkeypatch.setenv("LLM_API_KEY", "sk-secret")
    monkeypatch.setenv("LLM_MODEL", "small")
    config = StreamConfig()
    assert (config.endpoint, config.api_key, config.model) == ("https://host/v1", "sk-secret", "small")
    assert "sk-secret" not in repr(config)


@pytest.mark.parametrize(
    ("given", "url", "base", "ndjson"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1/chat/completions", "https://api.example.com", False),
        (
            "https://api.example.com/v1/",
            "https://api.example.com/v1/chat/completions",
            "https://api.example.com",
            False,
        ),
        ("http://h:1/llm/v1/chat/completions", "http://h:1/llm/v1/chat/completions", "http://h:1/llm", False),
        ("http://h:1/llm/api/v1/chat/stream", "http://h:1/llm/api/v1/chat/stream", "http://h:1/llm", True),
        ("http://h:1", "http://h:1/api/v1/chat/stream", "http://h:1", True),
        ("http://h/openai/chat/completions?v=2", "http://h/openai/chat/completions?v=2", "http://h/openai", False),
        ("http://h/custom", "http://h/custom", "http://h/custom", False),
        ("/v1/chat/completions", "http://127.0.0.1:8080/v1/chat/completions", "http://127.0.0.1:8080", False),
        ("http://[::1]:9/v1", "http://[::1]:9/v1/chat/completions", "http://[::1]:9", False),
    ],
)
def test_endpoints(given: str, url: str, base: str, ndjson: bool) -> None:
    endpoint = endpoint_of(given)
    assert (endpoint.url, endpoint.base, endpoint.ndjson) == (url, base, ndjson)
    assert endpoint.stop_url("ab") == f"{base}/v1/streams/ab/stop"


@pytest.mark.parametrize(
    "options",
    [
        *({"endpoint": text} for text in ("ftp://h/v1", "host:8080", "http://", "http://u:p@h/v1", "http://h:port/v1")),
        {"framing": "xml"},
        {"timeout": 0},
        {"connect_timeout": -1.0},
        {"retry_attempts": -1},
        {"chunk_throttle": -0.1},
        {"max_buffer": 0},
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        StreamConfig(**options)
