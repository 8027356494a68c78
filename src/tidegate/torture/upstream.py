"""The model server that lies: a simulator whose script is chosen by the prompt."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, Final

from tidegate.simulator.options import SimulatorOptions
from tidegate.simulator.script import Script, asked_of, error_script, script_of
from tidegate.simulator.server import Simulator, Truth, script_for
from tidegate.torture.cases import GOOD, Case, case_of
from tidegate.torture.judge import Choices, choices_of

__all__ = ["LyingUpstream", "meant"]

_OPTIONS: Final = SimulatorOptions(ttft=0.02, tps=200.0, jitter=0.0, tokens=20)


class LyingUpstream(Simulator):
    """Answers any model name.

    :param models: what it lists to gateways that ask before they trust a model server.
    :param tps: tokens a second.
    """

    def __init__(self, models: tuple[str, ...] = ("torture",), *, tps: float = _OPTIONS.tps) -> None:
        super().__init__(replace(_OPTIONS, tps=tps))
        self._offered = models
        self.authorizations: dict[str, str] = {}
        """Case -> the Authorization header that came with it last."""

    @property
    def models(self) -> tuple[str, ...]:
        return self._offered

    def steering(self, request: dict[str, Any], headers: dict[str, str]) -> str:
        case = case_of(json.dumps(request.get("messages", ""), ensure_ascii=False)) or GOOD
        self.authorizations[case.name] = headers.get("authorization", "")
        return _model(case)

    def fallback(self, method: str, path: str) -> Script:
        """Health checks, server infos: whatever a router asks for."""
        script = super().fallback(method, path)
        if method == "GET":
            body = json.dumps({"status": "ok", "model_path": self._offered[0], "object": "list", "data": []}).encode()
            script = error_script(200, "", "")
            script.steps[0] = script.steps[0]._replace(data=body)
        return script

    def generations(self, case: Case, since: float) -> list[Truth]:
        """Those of a case that began after ``since`` (``time.monotonic``)."""
        return [truth for truth in self.truths if truth.model == _model(case) and truth.request_at >= since]

    async def stop_listening(self) -> None:
        """As if the model server had been killed."""
        if self._server is not None:
            self._server.close()
        for peer in list(self.connections):
            peer.transport.abort()
        while self.connections:  # noqa: ASYNC110 - one loop turn
            await asyncio.sleep(0)


def _model(case: Case) -> str:
    return f"sim/{case.fault}"


def meant(case: Case) -> Choices:
    """What its client should get, from the script itself."""
    asked = asked_of({"model": _model(case), "messages": []}, _OPTIONS)
    script = script_for(asked, stream=True)
    plain = dict(script.headers).get("content-type", "text/event-stream").startswith("text/event-stream")
    if script.framing == "raw" or not plain or "content-encoding" in dict(script.headers):
        script = script_of(asked)
    return choices_of(b"".join(step.data for step in script.steps))
