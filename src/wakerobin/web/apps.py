"""The two HTTP applications, made from a running server's services."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

import wakerobin
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.web import health, metrics
from wakerobin.web.admin import routes as admin
from wakerobin.web.admin import tests
from wakerobin.web.api import apps, calls, enrolment, handover, messages, receipts, registrations, selftests
from wakerobin.web.context import WebContext
from wakerobin.web.health import StoreProbe
from wakerobin.web.invalid import problem_of_invalid
from wakerobin.web.limits import RECEIPTS_PER_HOUR, AddressBudget, Doors
from wakerobin.web.metrics import Watch
from wakerobin.web.problems import SCHEMA, Action, ProblemError, plain_response, response_of

_TITLES = {
    404: ("There is nothing here.", Action.FIX_REQUEST),
    405: ("This cannot be done here.", Action.FIX_REQUEST),
}

_SECRET = "secret"  # noqa: S105 - the name of a way to prove oneself
_HELD = f"{enrolment.PATH}/{{id}}"


def make_api(context: WebContext) -> FastAPI:
    """Return the API of the apps, with `/healthz`, `/metrics` and `/openapi.json`."""
    app = _app(context, "Wakerobin")
    _include(
        app,
        apps.router,
        enrolment.router,
        registrations.router,
        handover.router,
        selftests.router,
        receipts.router,
        calls.router,
        messages.router,
    )
    app.add_middleware(Doors, options=context.options.http, is_ready=context.is_ready)
    app.add_middleware(Watch)
    return app


def make_admin(context: WebContext) -> FastAPI:
    """Return the operator's API. It asks for no secret: whoever may open its socket is the operator."""
    app = _app(context, "Wakerobin, for operators")
    _include(app, admin.router, tests.router)
    http = type(context.options.http)()
    app.add_middleware(Doors, options=http, is_ready=context.is_ready)
    app.add_middleware(Watch)
    return app


class _App(FastAPI):
    """FastAPI whose OpenAPI document knows our problems and not its own."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, routes=self.routes)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = SCHEMA
            _say_what_proves(document)
            self.openapi_schema = document
        return self.openapi_schema


def _say_what_proves(document: dict[str, Any]) -> None:
    """The routes of a push registration read the secret themselves, so FastAPI cannot know of it."""
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes[_SECRET] = {
        "type": "http",
        "scheme": "bearer",
        "description": "The secret of the push registration.",
    }
    for path, operations in document["paths"].items():
        if path.startswith(_HELD):
            for operation in operations.values():
                operation["security"] = [{_SECRET: []}]


def _app(context: WebContext, title: str) -> FastAPI:
    app = _App(title=title, version=wakerobin.__version__, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    app.state.context = context
    app.state.enrolments = AddressBudget(context.options.http.enrolments_per_hour)
    app.state.receipts = AddressBudget(RECEIPTS_PER_HOUR)
    app.state.store_probe = StoreProbe()
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreUnavailableError, _store_unavailable)
    app.add_exception_handler(HTTPException, _http)
    return app


def _include(app: FastAPI, *routers: APIRouter) -> None:
    """Give an app its routes, with those that every one has."""
    all_routers = (*routers, health.router, metrics.router)
    for router in all_routers:
        app.include_router(router)
    app.state.routes = [route for router in all_routers for route in router.routes]


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return response_of(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return response_of(problem_of_invalid(error.errors()))


async def _store_unavailable(_request: Request, _error: Exception) -> JSONResponse:
    return response_of(ProblemError("store-unavailable", "Nothing of the request was kept; send it again."))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # FastAPI could not read the body, and not because of its JSON grammar
        return response_of(ProblemError("malformed-request", "Send a JSON document in UTF-8."))
    title, action = _TITLES.get(error.status_code, ("The request failed.", Action.FIX_REQUEST))
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the framework names the methods of one route alone
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return plain_response(error.status_code, title, action, headers)


def _methods(request: Request) -> set[str]:
    """Return what can be done at a path."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found
