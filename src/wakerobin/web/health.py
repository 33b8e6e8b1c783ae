"""Whether the server serves (`/healthz`): for load balancers, process supervisors and people."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from wakerobin.core.errors import StoreUnavailableError
from wakerobin.web.context import Context, WebContext

router = APIRouter()

LOOK_AGAIN_S = 5.0
"""How long the last look at the store holds: nobody may make it write by asking often."""

_BEAT = "web-health"


class StoreProbe:
    """Finds out whether the store can be written."""

    def __init__(self) -> None:
        self._looked_at: float | None = None
        self._is_writable = False

    async def is_writable(self, context: WebContext) -> bool:
        """Return whether the store took a write within the last seconds."""
        now = context.clock.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            self._is_writable = await _can_write(context)
        return self._is_writable


@router.get("/healthz", include_in_schema=False)
async def health(request: Request, context: Context) -> JSONResponse:
    """Answer 200 when calls are taken and things can be stored, else 503; the body says which is not so."""
    probe: StoreProbe = request.app.state.store_probe
    is_ready = context.is_ready()
    is_writable = await probe.is_writable(context)
    status = "starting" if not is_ready else "ready" if is_writable else "failing"
    body = {
        "status": status,
        "store": "writable" if is_writable else "not writable",
        "sip": sorted(str(listener) for listener in context.endpoint.listeners),
    }
    return JSONResponse(body, 200 if status == "ready" else 503)


async def _can_write(context: WebContext) -> bool:
    try:
        await context.store.transact(lambda tx: tx.kept.put(_BEAT, b"1"))
    except StoreUnavailableError:
        return False
    return True
