"""What only the whole of a table can tell: addresses, secrets that are not there, names that are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

from tidegate.config.lines import Path
from tidegate.config.schema import title
from tidegate.config.sources import Sources
from tidegate.config.values import base_url_problem
from tidegate.errors import ConfigError
from tidegate.ledger.options import OFF, LedgerOptions
from tidegate.policy.budgets import budget_of
from tidegate.policy.key_specs import is_tag
from tidegate.policy.keys import is_hash, looks_like_ours
from tidegate.policy.options import AuthOptions, StaticKey, TagLimit
from tidegate.safety.classifier import ClassifierOptions
from tidegate.safety.profile import ProfileError, Profiles, SafetyOptions
from tidegate.safety.validation import UserRules, ValidationError, ValidationOptions
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.server.tls import tls_problem
from tidegate.shared.options import SharedOptions
from tidegate.upstream.options import UpstreamOptions

__all__ = ["check"]


def check(sources: Sources, path: Path, options: Any, environ: Mapping[str, str]) -> None:
    """Report what is wrong with the options of the table at ``path``, all of whose values have the right type."""
    checker = _CHECKS.get(type(options))
    if checker is not None:
        checker(sources, path, options, environ)


def _server(sources: Sources, path: Path, server: ServerOptions, _environ: Mapping[str, str]) -> None:
    if not server.host.strip():
        sources.report_value((*path, "host"), 'is empty; write "127.0.0.1" for this machine only, "0.0.0.0" for all')
    for origin in server.cors_origins:
        scheme, _, rest = origin.partition("://")
        if origin != "*" and (scheme not in ("http", "https") or not rest or "/" in rest):
            problem = f'has "{origin}", which is no origin; write scheme and host only: "https://app.example.com"'
            sources.report_value((*path, "cors_origins"), problem)
    wrong = tls_problem(server)
    if wrong is not None:
        setting, problem = wrong
        sources.report_value((*path, setting), problem)


def _upstream(sources: Sources, path: Path, upstream: UpstreamOptions, environ: Mapping[str, str]) -> None:
    if not upstream.name.strip():
        sources.report_value((*path, "name"), "is empty; every upstream needs a name of its own")
    problem = base_url_problem(upstream.base_url)
    if problem is not None:
        sources.report_value((*path, "base_url"), problem)
    if not upstream.models and not upstream.aliases:
        sources.report_value((*path, "models"), 'is empty, so nothing would ever go there; write models = ["*"]')
    for index, reference in enumerate(upstream.api_keys):
        _reference(sources, (*path, "api_keys", index), reference, environ)
    for header, reference in upstream.headers.items():
        _reference(sources, (*path, "headers", header), reference, environ)
    if upstream.ca_file is not None and not _readable(upstream.ca_file):
        sources.report_value((*path, "ca_file"), f'is "{upstream.ca_file}", which cannot be read')


def _reference(sources: Sources, path: Path, reference: str, environ: Mapping[str, str]) -> None:
    """A secret must be there when the gateway starts. Never repeats a secret that stands here itself."""
    kind, _, target = reference.partition(":")
    problem = None
    if kind == "env" and not environ.get(target, "").strip():
        problem = f"refers to the variable {target or '(no name)'}, which is not set; export {target or 'NAME'}=..."
    elif kind == "file" and not _readable(target):
        problem = f'refers to the file "{target}", which is not there, not readable or empty'
    elif reference.startswith("$"):
        problem = f'is not expanded as a shell would; write "env:{reference.strip("${}")}"'
    elif not reference.strip():
        problem = 'is empty; write a reference such as "env:OPENAI_API_KEY", or leave it out'
    if problem is not None:
        sources.report_value(path, problem)


def _readable(path: str) -> bool:
    try:
        return bool(FilePath(path).read_bytes().strip())
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _key(sources: Sources, path: Path, key: StaticKey, _environ: Mapping[str, str]) -> None:
    if not key.id.strip() or key.id == "anonymous":
        sources.report_value((*path, "id"), 'must be a name of its own, not empty and not "anonymous"')
    if looks_like_ours(key.hash):
        sources.report_value(
            (*path, "hash"), "is the key itself; write its hash, which this prints: tidegate keys hash -"
        )
    elif not is_hash(key.hash):
        sources.report_value((*path, "hash"), 'must be "sha256:" and 64 hex digits; make one with: tidegate keys hash')
    _budget_and_tags(sources, path, key)


def _budget_and_tags(sources: Sources, path: Path, key: StaticKey) -> None:
    if key.budget:
        try:
            budget_of(key.budget)
        except ValueError as error:
            sources.report_value((*path, "budget"), str(error))
    for name, value in key.tags.items():
        if not is_tag(name) or not is_tag(value):
            problem = "must be pairs of text without spaces, '=' and ',', such as { team = \"search\" }"
            sources.report_value((*path, "tags", name), problem)


def _auth(sources: Sources, path: Path, auth: AuthOptions, environ: Mapping[str, str]) -> None:
    if auth.secret:
        _reference(sources, (*path, "secret"), auth.secret, environ)
    _unique(sources, (*path, "key"), "id", [key.id for key in auth.keys], "key")


def _gateway(sources: Sources, path: Path, gateway: GatewayOptions, _environ: Mapping[str, str]) -> None:
    names = [upstream.name for upstream in gateway.upstreams]
    _unique(sources, (*path, "upstream"), "name", names, "upstream")
    if gateway.server.default_upstream and gateway.server.default_upstream not in names:
        sources.report_value(("server", "default_upstream"), f"must name an upstream: {', '.join(names) or 'none'}")
    named: list[tuple[Path, str]] = [
        *((("upstream", at, "safety"), upstream.safety) for at, upstream in enumerate(gateway.upstreams)),
        *((("auth", "key", at, "safety"), key.safety) for at, key in enumerate(gateway.auth.keys)),
    ]
    if not any(name for _, name in named):
        return
    try:
        profiles = Profiles(gateway.safety)
    except ProfileError:
        return  # said already, of [safety]
    for where, name in named:
        if name:
            try:
                profiles.named(name)
            except ProfileError as error:
                known = str(error).partition("; ")[2]
                sources.report_value(where, f"must name a profile; {known}")


def _safety(sources: Sources, path: Path, safety: SafetyOptions, _environ: Mapping[str, str]) -> None:
    try:
        Profiles(safety)
    except ProfileError as error:
        sources.report(path, f"{title(path)}: {error}")


def _validation(sources: Sources, path: Path, options: ValidationOptions, _environ: Mapping[str, str]) -> None:
    try:
        UserRules(options.rules)
    except ValidationError as error:
        sources.report(path, f"{title(path)}: {error}")


def _classifier(sources: Sources, path: Path, options: ClassifierOptions, environ: Mapping[str, str]) -> None:
    ready = ("openai-moderation", "presidio")
    module, colon, attribute = options.use.partition(":")
    if options.use and options.use not in ready and not (module and colon and attribute):
        sources.report_value(
            (*path, "use"), f'is "{options.use}"; write "package.module:attribute", or one of {", ".join(ready)}'
        )
    if options.api_key:
        _reference(sources, (*path, "api_key"), options.api_key, environ)
    problem = base_url_problem(options.url) if options.url else None
    if problem is not None:
        sources.report_value((*path, "url"), problem)
    for name in ("url", "api_key", "model", "categories", "entities"):
        if getattr(options, name) and options.use not in ready:
            sources.report_value((*path, name), f"is for use = {' and '.join(ready)} only; write it under settings")


def _ledger(sources: Sources, path: Path, ledger: LedgerOptions, environ: Mapping[str, str]) -> None:
    url = ledger.url
    if url in ("", OFF):
        return
    if url.startswith(("env:", "file:")):
        _reference(sources, (*path, "url"), url, environ)
        return
    from tidegate.ledger.database import check_url  # SQLAlchemy, which nothing else here needs

    try:
        check_url(url)
    except ConfigError as error:
        sources.report_value((*path, "url"), error.message.removeprefix("ledger.url "))


def _tag_limit(sources: Sources, path: Path, rule: TagLimit, _environ: Mapping[str, str]) -> None:
    name, equals, value = rule.tag.partition("=")
    if not (name and equals and value):
        sources.report_value((*path, "tag"), 'must be a name and a value, such as "team=search" or "team=*"')


def _shared(sources: Sources, path: Path, shared: SharedOptions, environ: Mapping[str, str]) -> None:
    if shared.redis.startswith(("env:", "file:")):
        _reference(sources, (*path, "redis"), shared.redis, environ)
    elif shared.redis and not shared.redis.startswith(("redis://", "rediss://", "unix://")):
        sources.report_value((*path, "redis"), "must begin with redis://, rediss:// or unix://")


def _unique(sources: Sources, path: Path, field: str, values: list[str], noun: str) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            sources.report_value((*path, index, field), f'"{value}" is taken by an earlier {noun}; give it its own')


_CHECKS: Mapping[type, Callable[[Sources, Path, Any, Mapping[str, str]], None]] = {
    ServerOptions: _server,
    UpstreamOptions: _upstream,
    StaticKey: _key,
    AuthOptions: _auth,
    GatewayOptions: _gateway,
    SafetyOptions: _safety,
    ValidationOptions: _validation,
    ClassifierOptions: _classifier,
    LedgerOptions: _ledger,
    TagLimit: _tag_limit,
    SharedOptions: _shared,
}
