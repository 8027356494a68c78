"""The process in which answers are held against schemas: ``python -m tidegate.relay.checks.schema_worker``.

A schema is a stranger's program: a pattern can take longer than the universe, a chain of references more memory than
there is. So it runs where it can be ended: each job has an alarm that kills the process, and memory has a limit.

Each message is four bytes of length (big-endian) and JSON: in ``[seconds, schema, answer]``, out
``{"keyword": …, "path": …}``, ``{"error": …}`` or ``{}`` for an answer that is as the schema wants it. No reference
leaves the schema: nothing is fetched.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Any, BinaryIO, Final

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

__all__ = ["check", "main", "serve"]

MEMORY: Final = 1 << 30
"""Bytes of address space."""

MAX_PATH: Final = 256


def check(schema: Any, answer: str) -> dict[str, str]:
    """The answer to one job."""
    if not isinstance(schema, dict):
        return {"error": "invalid_schema"}
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return {"keyword": "json"}
    try:
        kind = validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        failure: ValidationError | None = next(kind(schema, registry=Registry()).iter_errors(value), None)
    except SchemaError:
        return {"error": "invalid_schema"}
    except Unresolvable:
        return {"error": "unresolved_reference"}
    except (RecursionError, MemoryError):
        return {"error": "too_deep"}
    except Exception:  # a pattern that is none, a number that is too large: a stranger's schema has many ways
        return {"error": "invalid_schema"}
    if failure is None:
        return {}
    path = "/".join(str(part) for part in failure.absolute_schema_path)
    return {"keyword": str(failure.validator), "path": path[:MAX_PATH]}


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer jobs until there are none."""
    while len(head := source.read(4)) == 4:
        result = json.dumps(_answered(source.read(int.from_bytes(head, "big")))).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        sink.write(len(result).to_bytes(4, "big") + result)
        sink.flush()


def _answered(message: bytes) -> dict[str, str]:
    try:
        seconds, schema, answer = json.loads(message)
    except (ValueError, RecursionError):
        return {"error": "invalid_schema"}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return check(schema, answer)


def main() -> None:
    """Run as a process of its own."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the alarm ends the process, also from within the regex engine
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
