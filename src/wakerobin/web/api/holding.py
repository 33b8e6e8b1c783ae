"""Who may use a push registration: whoever has its secret, until its life is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from wakerobin.core.values import Ended, Life, PushRegistration
from wakerobin.services.lives import LifeView
from wakerobin.web.context import Context, WebContext
from wakerobin.web.problems import ProblemError
from wakerobin.web.visitors import Visitor

ENROLMENT_KEY = HTTPBearer(
    auto_error=False, scheme_name="enrolment key", description="The app's enrolment key."
)
_SECRET = HTTPBearer(
    auto_error=False, scheme_name="secret", description="The secret of the push registration."
)

Bearer = HTTPAuthorizationCredentials | None


@dataclass(frozen=True, slots=True)
class Holding:
    """A living push registration, and the secret that proved it."""

    registration: PushRegistration
    secret: str
    address: str
    """Where the request comes from."""


def visitor(request: Request) -> Visitor:
    """Return who sent the request; `limits.Doors` found out."""
    found: Visitor = request.state.visitor
    return found


FromVisitor = Annotated[Visitor, Depends(visitor)]


async def _holding(
    id: str,
    context: Context,
    bearer: Annotated[Bearer, Depends(_SECRET)],
    visitor: FromVisitor,
) -> Holding:
    """Raise `secret-refused`, or, for an ended life, the problem that says how it ended."""
    secret = bearer.credentials if bearer is not None else ""
    registration = context.access.registration(id, secret)
    if registration is None:
        raise _refused()
    view_of(context, registration)
    return Holding(registration, secret, visitor.address)


Held = Annotated[Holding, Depends(_holding)]
"""How a route asks for the push registration in its path."""


async def use(context: WebContext, holding: Holding, cause: str) -> LifeView:
    """Renew by a use and return the life as it is then. Raises the problem of an ended life."""
    registration = holding.registration
    await context.lives.use(registration.id, cause)
    await note_use(context, holding)
    return view_of(context, registration)


async def note_use(context: WebContext, holding: Holding) -> None:
    """The first use of a new secret ends the old one."""
    registration = holding.registration
    if registration.previous_secret_hash:
        await context.store.transact(lambda tx: context.access.note_use(tx, registration.id, holding.secret))


def view_of(context: WebContext, registration: PushRegistration) -> LifeView:
    """Return the life of a push registration as it is now. Raises the problem of an ended one."""
    view = context.store.read(lambda tx: context.lives.view(tx, registration))
    if view is None:
        raise _refused()
    if view.life.ended is not None:
        raise _ended(view.life)
    return view


def _refused() -> ProblemError:
    return ProblemError("secret-refused", "Enrol again.")


def _ended(life: Life) -> ProblemError:
    name = "push-registration-expired" if life.ended is Ended.EXPIRED else "push-registration-ended"
    return ProblemError(name, "Enrol again.")
