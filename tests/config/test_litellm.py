"""config/litellm.py: what is carried over loads; what is not is listed; no secret is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.config import load
from tidegate.config.litellm import import_litellm
from tidegate.errors import ConfigError
from tidegate.server.options import GatewayOptions

FILE = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 60, tpm: 90000}
    model_info: {id: one, input_cost_per_token: 0.0000025, output_cost_per_token: 0.00001, supports_vision: true}
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/SECOND_KEY, rpm: 60}
  - model_name: small
    litellm_params: {model: hosted_vllm/Qwen/Qwen3-8B, api_base: "http://10.0.0.7:8000/v1/", weight: 3, order: 1}
  - model_name: quick
    litellm_params: {model: groq/llama-3.3-70b, temperature: 0.2}
  - model_name: local
    litellm_params: {model: ollama_chat/llama3, api_base: "http://localhost:11434"}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet, api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: mine
    litellm_params: {model: gpt-4o-mini, api_key: sk-0123456789abcdef, organization: org-7}
  - model_name: "*"
    litellm_params: {model: "openrouter/*"}
  - model_name: "team/*"
    litellm_params: {model: "openai/*"}
  - model_name: nowhere
    litellm_params: {model: hosted_vllm/x, api_base: os.environ/BASE}
  - {model_name: broken}
litellm_settings: {num_retries: 3, request_timeout: 120, drop_params: true}
router_settings: {routing_strategy: simple-shuffle, model_group_alias: {gpt-4: gpt-4o, other: nobody}}
general_settings:
  master_key: sk-master-0123456789
  database_url: os.environ/DATABASE_URL
  global_max_parallel_requests: 500
environment_variables: {OPENAI_API_KEY: sk-another-0123456789}
"""
ENVIRON = {
    "OPENAI_API_KEY": "sk-1",
    "SECOND_KEY": "sk-2",
    "GROQ_API_KEY": "sk-3",
    "OPENROUTER_API_KEY": "sk-4",
    "DATABASE_URL": "postgresql://localhost/x",
}


def loaded(text: str, folder: Path, environ: dict[str, str]) -> GatewayOptions:
    file = folder / "tidegate.toml"
    file.write_text(text)
    return load(str(file), environ)


def test_the_whole_of_a_file(tmp_path: Path) -> None:
    found = import_litellm(yaml.safe_load(FILE))
    options = loaded(found.text, tmp_path, ENVIRON)
    by_name = {upstream.name: upstream for upstream in options.upstreams}
    assert list(by_name) == ["openai", "hosted-vllm", "groq", "ollama-chat", "openai-3", "openrouter"]
    assert by_name["openai"].api_keys == ("env:OPENAI_API_KEY", "env:SECOND_KEY")
    assert by_name["openai"].models == ("gpt-4o",)
    assert by_name["openai"].aliases == {"gpt-4": "gpt-4o"}
    vllm = by_name["hosted-vllm"]
    assert (vllm.base_url, vllm.weight, vllm.priority) == ("http://10.0.0.7:8000/v1", 3.0, 1)
    assert (vllm.aliases, vllm.models, vllm.api_keys) == ({"small": "Qwen/Qwen3-8B"}, (), ())
    assert by_name["groq"].base_url == "https://api.groq.com/openai/v1"
    assert by_name["ollama-chat"].base_url == "http://localhost:11434/v1"
    assert by_name["openai-3"].headers == {"OpenAI-Organization": "org-7"}
    assert by_name["openrouter"].models == ("*",)
    assert (options.stream.retry_attempts, options.stream.total_timeout) == (3, 120.0)
    assert options.limits.concurrent == 500
    assert [(each.model, each.rpm, each.tpm) for each in options.limits.models] == [("gpt-4o", 120, 90000)]
    (price,) = options.prices
    assert price.model == "gpt-4o"
    assert [price.input, price.output] == pytest.approx([2.5, 10.0])
    assert options.ledger.url == "env:DATABASE_URL"
    assert not options.auth.anonymous


def test_what_could_not_be_carried_over_is_listed() -> None:
    notes = "\n".join(import_litellm(yaml.safe_load(FILE)).notes)
    for part in (
        "model_info.supports_vision",
        "litellm_params.temperature",
        "(claude): the provider 'anthropic'",
        "(mine): its api_key stands in the file itself; put it into the variable OPENAI_API_KEY",
        "(team/*): a pattern",
        "(nowhere): its api_base",
        "model_list[10]: has no model_name",
        "litellm_settings.drop_params",
        "model_group_alias.other",
        "master_key: keys are kept as hashes",
        "environment_variables: no counterpart",
    ):
        assert part in notes
    assert "routing_strategy" not in notes


def test_no_secret_is_repeated() -> None:
    found = import_litellm(yaml.safe_load(FILE))
    for secret in ("sk-0123456789abcdef", "sk-master-0123456789", "sk-another-0123456789"):
        assert secret not in found.text
        assert secret not in "".join(found.notes)


@pytest.mark.parametrize("document", [None, [], {}, {"model_list": {}}, "text"])
def test_what_is_not_litellms_is_refused(document: Any) -> None:
    with pytest.raises(ConfigError, match="model_list"):
        import_litellm(document)
