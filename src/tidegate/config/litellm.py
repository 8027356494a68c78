"""A configuration of LiteLLM's proxy as one of ours, and what of it could not be carried over.

Fields as https://docs.litellm.ai/docs/proxy/config_settings has them. Nothing here reads a file or repeats a secret: a
key that stands in LiteLLM's file itself becomes a reference to a variable, and is listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.config.values import written
from tidegate.errors import ConfigError

__all__ = ["Imported", "import_litellm"]

PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "text-completion-openai": "https://api.openai.com/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "together_ai": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
    "ollama": "http://localhost:11434/v1",
    "ollama_chat": "http://localhost:11434/v1",
    "hosted_vllm": "",
    "vllm": "",
    "lm_studio": "",
    "litellm_proxy": "",
    "openai_like": "",
}
"""Providers that speak OpenAI's chat, and where; empty: ``api_base`` says."""

VARIABLES: Final[Mapping[str, str]] = {
    "gemini": "GEMINI_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
    "text-completion-openai": "OPENAI_API_KEY",
}
"""Where LiteLLM looks for a key by itself, if that is not ``PROVIDER_API_KEY``."""

_KEYLESS: Final = frozenset({"ollama", "ollama_chat", "hosted_vllm", "vllm", "lm_studio"})
_MILLION: Final = 1_000_000
_NAME: Final = re.compile(r"[^a-z0-9]+")
_PARAMS: Final = frozenset(
    {"model", "api_base", "base_url", "api_key", "organization", "weight", "order", "rpm", "tpm"}
    | {"input_cost_per_token", "output_cost_per_token"}
)
_INFO: Final = frozenset({"id", "mode", "base_model", "input_cost_per_token", "output_cost_per_token"})


@dataclass(frozen=True, slots=True)
class Imported:
    """The text of ``tidegate.toml``, and a line for everything that is not in it."""

    text: str
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Upstream:
    name: str
    base_url: str
    priority: int
    weight: float
    headers: dict[str, str]
    keys: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)


def import_litellm(document: Any) -> Imported:
    """Carry over what can be.

    :param document: the parsed YAML.
    :raises ConfigError: it is none of LiteLLM's.
    """
    if not isinstance(document, dict) or not isinstance(document.get("model_list"), list):
        raise ConfigError("This is no configuration of LiteLLM's proxy: it has no list 'model_list'.")
    return _Import(document).result()


class _Import:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.notes: list[str] = []
        self.upstreams: list[_Upstream] = []
        self.limits: dict[str, dict[str, int]] = {}
        self.prices: dict[str, dict[str, float]] = {}
        self.sections: dict[str, dict[str, Any]] = {
            "server": {},
            "stream": {},
            "limits": {},
            "shared": {},
            "ledger": {},
        }

    def result(self) -> Imported:
        for number, entry in enumerate(self.document["model_list"]):
            self._model(entry if isinstance(entry, dict) else {}, f"model_list[{number}]")
        self._merge()
        self._settings()
        for name in self.document:
            if name not in ("model_list", "litellm_settings", "router_settings", "general_settings"):
                self.notes.append(f"{name}: no counterpart")
        return Imported(self._text(), tuple(dict.fromkeys(self.notes)))

    # Models.

    def _model(self, entry: Mapping[str, Any], where: str) -> None:
        name, params = entry.get("model_name"), entry.get("litellm_params")
        if not isinstance(name, str) or not isinstance(params, dict) or not isinstance(params.get("model"), str):
            self.notes.append(f"{where}: has no model_name, or no litellm_params.model")
            return
        provider, slash, model = params["model"].partition("/")
        if not slash or provider not in PROVIDERS:
            if slash and provider.isidentifier() and "api_base" not in params:
                self.notes.append(f"{where} ({name}): the provider '{provider}' does not speak OpenAI's chat")
                return
            if provider in ("azure", "bedrock", "vertex_ai", "anthropic"):
                self.notes.append(f"{where} ({name}): the provider '{provider}' does not speak OpenAI's chat")
                return
            provider, model = "openai", params["model"]
        base = self._base(provider, params, f"{where} ({name})")
        if base is None:
            return
        if "*" in name and name != model:
            self.notes.append(f"{where} ({name}): a pattern under another name than the upstream's")
            return
        upstream = self._upstream(provider, base, params, f"{where} ({name})")
        if name == model:
            upstream.models.append(name)
        else:
            upstream.aliases[name] = model
        self._figures(name, model, params, entry.get("model_info"), f"{where} ({name})")

    def _base(self, provider: str, params: Mapping[str, Any], where: str) -> str | None:
        given = params.get("api_base") or params.get("base_url") or PROVIDERS[provider]
        if not isinstance(given, str) or not given.startswith(("http://", "https://")):
            self.notes.append(f"{where}: its api_base is not in the file; write it as base_url")
            return None
        base = given.rstrip("/")
        if provider in ("ollama", "ollama_chat") and not base.endswith("/v1"):
            base += "/v1"
        return base

    def _upstream(self, provider: str, base: str, params: Mapping[str, Any], where: str) -> _Upstream:
        organization = params.get("organization")
        headers = {"OpenAI-Organization": organization} if isinstance(organization, str) else {}
        weight, order = params.get("weight", 1), params.get("order", 0)
        key = self._key(provider, params.get("api_key"), where)
        wanted = (base, order, float(weight), headers, [key] if key else [])
        for known in self.upstreams:
            same = (known.base_url, known.priority, known.weight, known.headers, known.keys) == wanted
            name = params["model"].partition("/")[2] or params["model"]
            if same and name not in known.models:
                return known
        stem = _NAME.sub("-", provider.lower()).strip("-")
        taken = sum(each.name.rpartition("-")[0] == stem or each.name == stem for each in self.upstreams)
        made = _Upstream(f"{stem}-{taken + 1}" if taken else stem, base, order, float(weight), headers)
        made.keys = [key] if key else []
        self.upstreams.append(made)
        return made

    def _key(self, provider: str, given: Any, where: str) -> str:
        variable = VARIABLES.get(provider, f"{provider.upper()}_API_KEY")
        if not isinstance(given, str) or not given:
            return "" if provider in _KEYLESS else f"env:{variable}"
        if given.startswith("os.environ/"):
            return f"env:{given.removeprefix('os.environ/')}"
        if given.lower() in ("none", "na", "any", "dummy", "empty"):
            return ""
        self.notes.append(f"{where}: its api_key stands in the file itself; put it into the variable {variable}")
        return f"env:{variable}"

    def _figures(self, name: str, model: str, params: Mapping[str, Any], info: Any, where: str) -> None:
        more = info if isinstance(info, dict) else {}
        for kind in ("rpm", "tpm"):
            if isinstance(params.get(kind), int):
                limits = self.limits.setdefault(name, {})
                limits[kind] = limits.get(kind, 0) + params[kind]  # each deployment has its own
        cost = {
            ours: float(value) * _MILLION
            for ours in ("input", "output")
            if isinstance(
                value := more.get(f"{ours}_cost_per_token", params.get(f"{ours}_cost_per_token")), int | float
            )
        }
        if cost:
            self.prices[model] = {"input": 0.0, "output": 0.0, **cost}
        self.notes += [f"{where}: litellm_params.{each} has no counterpart" for each in params if each not in _PARAMS]
        self.notes += [f"{where}: model_info.{each} has no counterpart" for each in more if each not in _INFO]

    def _merge(self) -> None:
        """Deployments that differ in their key only are one upstream with several keys."""
        merged: list[_Upstream] = []
        for each in self.upstreams:
            for known in merged:
                what = ("base_url", "priority", "weight", "headers", "models", "aliases")
                if each.keys and known.keys and all(getattr(known, name) == getattr(each, name) for name in what):
                    known.keys += each.keys
                    break
            else:
                merged.append(each)
        self.upstreams = merged

    # Settings.

    def _settings(self) -> None:
        for section in ("litellm_settings", "router_settings", "general_settings"):
            settings = self.document.get(section)
            for name, value in (settings if isinstance(settings, dict) else {}).items():
                if not self._setting(name, value):
                    self.notes.append(f"{section}.{name}: no counterpart")

    def _setting(self, name: str, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "num_retries" and number:
            self.sections["stream"]["retry_attempts"] = int(value)
        elif name in ("request_timeout", "timeout") and number:
            self.sections["stream"]["total_timeout"] = float(value)
        elif name == "stream_timeout" and number:
            self.sections["stream"]["first_token_timeout"] = float(value)
        elif name in ("max_parallel_requests", "global_max_parallel_requests") and number:
            self.sections["limits"]["concurrent"] = int(value)
        elif name == "database_url" and isinstance(value, str) and value.startswith("os.environ/"):
            self.sections["ledger"]["url"] = f"env:{value.removeprefix('os.environ/')}"
        elif name == "redis_url" and isinstance(value, str) and value.startswith("os.environ/"):
            self.sections["shared"]["redis"] = f"env:{value.removeprefix('os.environ/')}"
        elif name == "model_group_alias" and isinstance(value, dict):
            for alias, model in value.items():
                self._alias(str(alias), model)
        elif name == "master_key":
            self.notes.append(
                "general_settings.master_key: keys are kept as hashes here; make one with `tidegate keys hash`, "
                "an admin's with admin = true"
            )
        else:
            return name in ("routing_strategy",) and value == "simple-shuffle"
        return True

    def _alias(self, alias: str, model: Any) -> None:
        serving = [each for each in self.upstreams if model in each.models or model in each.aliases]
        for upstream in serving:
            upstream.aliases[alias] = upstream.aliases.get(str(model), str(model))
        if not serving:
            self.notes.append(f"router_settings.model_group_alias.{alias}: nobody serves what it stands for")

    # The file.

    def _text(self) -> str:
        parts = [
            "# Made from a configuration of LiteLLM's proxy. Look at it with: tidegate config check tidegate.toml\n"
        ]
        parts += [_table(f"[{name}]", values) for name, values in self.sections.items() if values]
        for upstream in self.upstreams:
            values: dict[str, Any] = {"name": upstream.name, "base_url": upstream.base_url}
            values |= {"api_keys": tuple(upstream.keys)} if upstream.keys else {}
            values |= {"models": tuple(upstream.models)}
            values |= {"aliases": upstream.aliases} if upstream.aliases else {}
            values |= {"priority": upstream.priority} if upstream.priority else {}
            values |= {"weight": upstream.weight} if upstream.weight != 1.0 else {}
            values |= {"headers": upstream.headers} if upstream.headers else {}
            parts.append(_table("[[upstream]]", values))
        parts += [_table("[[limits.model]]", {"model": name, **limits}) for name, limits in self.limits.items()]
        parts += [_table("[[price]]", {"model": name, **price}) for name, price in self.prices.items()]
        return "\n".join(parts)


def _table(title: str, values: Mapping[str, Any]) -> str:
    return "\n".join([title, *(written(name, value) for name, value in values.items())]) + "\n"
