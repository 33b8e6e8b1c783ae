"""The app's side of the API, as an app would write it: JSON over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
from dataclasses import dataclass
from typing import Any

from wakerobin.core.values import Secret

_PATIENCE_S = 6.0
_REGISTRATIONS = "/v1/push-registrations"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said."""

    status: int
    fields: dict[str, Any]

    def __hash__(self) -> int:
        return hash(self.status)


@dataclass(frozen=True, slots=True)
class App:
    """Speaks to the API at an address."""

    address: tuple[str, int]

    async def enrol(self, enrolment_key: Secret, request: dict[str, Any]) -> Answer:
        """Enrol, and wait for what the PBX says of the password."""
        return await self._ask("POST", f"{_REGISTRATIONS}?wait=5", enrolment_key, request)

    async def timeline(self, registration: str, secret: Secret, call_id: str) -> Answer:
        """Fetch what happened to a call, in words."""
        return await self._ask("GET", f"{_REGISTRATIONS}/{registration}/calls/{call_id}/timeline", secret)

    async def _ask(
        self, method: str, path: str, secret: Secret, request: dict[str, Any] | None = None
    ) -> Answer:
        return await asyncio.to_thread(self._ask_now, method, path, secret, request)

    def _ask_now(self, method: str, path: str, secret: Secret, request: dict[str, Any] | None) -> Answer:
        connection = http.client.HTTPConnection(*self.address, timeout=_PATIENCE_S)
        try:
            headers = {"Authorization": f"Bearer {secret.reveal()}", "Content-Type": "application/json"}
            body = None if request is None else json.dumps(request)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        finally:
            connection.close()
