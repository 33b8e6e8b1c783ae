"""What the web needs of a running server; the composition root fills it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from wakerobin.net.endpoint import Endpoint
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import Options
from wakerobin.ports.store import Store
from wakerobin.ports.texts import Texts
from wakerobin.services.enrolment import Access, Enrolment
from wakerobin.services.enrolment.importing import Importing
from wakerobin.services.fleet import Fleet
from wakerobin.services.handover import Handover
from wakerobin.services.lives import Lives
from wakerobin.services.messages import Messages
from wakerobin.services.push_checks import PushChecks
from wakerobin.services.selftest import SelfTests
from wakerobin.services.switchboard import Switchboard


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """The services behind the API, by their own names."""

    options: Options
    store: Store
    clock: Clock
    endpoint: Endpoint
    access: Access
    enrolment: Enrolment
    importing: Importing
    lives: Lives
    fleet: Fleet
    handover: Handover
    switchboard: Switchboard
    messages: Messages
    selftests: SelfTests
    texts: Texts
    webpush_key: Callable[[str], str]
    """Gives the key with which the pages of an app subscribe; empty where it has no Web Push."""
    push_checks: PushChecks
    is_ready: Callable[[], bool]
    """Whether the server has finished starting."""


async def context_of(request: Request) -> WebContext:
    """Return what the app was made with.

    It awaits nothing, but FastAPI would run a plain function in a thread of its own.
    """
    context: WebContext = request.app.state.context
    return context


Context = Annotated[WebContext, Depends(context_of)]
"""How a route asks for it."""
