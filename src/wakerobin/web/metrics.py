"""Counts requests, survives what a route did not foresee, and shows the counters (`/metrics`)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wakerobin import log, metrics
from wakerobin.web.problems import Action, plain_response
from wakerobin.web.visitors import Visitor

router = APIRouter()

_log = log.get("web")


class Watch:
    """Stands before everything else. A fault of a route is logged, counted and answered 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:  # the top of the room: one request must not end the server
            metrics.FAULTS.labels(room="web").inc()
            _log.error("request_failed", route=_route(scope), exc_info=True)
            if not status:
                await plain_response(500, "The server made a mistake.", Action.RETRY)(scope, receive, note)
        metrics.HTTP_REQUESTS.labels(route=_route(scope), status=str(status)).inc()


def _route(scope: Scope) -> str:
    """Return the template of the path: of the path itself anybody may make as many as they like."""
    return str(getattr(scope.get("route"), "path", "none"))


@router.get("/metrics", include_in_schema=False)
async def show(request: Request) -> Response:
    """Show the counters to Prometheus, on this machine and in private networks only."""
    visitor: Visitor = request.state.visitor
    if not visitor.is_near:
        return plain_response(404, "There is nothing here.", Action.NONE)
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)
