"""Who may use a push registration: whoever has its secret, until its life is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from wakerobin.core.values import Account, Ended, Life, PushRegistration
from wakerobin.ports.store import Transaction
from wakerobin.services.lives import LifeView
from wakerobin.web.context import WebContext
from wakerobin.web.problems import ProblemError
from wakerobin.web.visitors import Visitor

ENROLMENT_KEY = HTTPBearer(
    auto_error=False, scheme_name="enrolment key", description="The app's enrolment key."
)

Bearer = HTTPAuthorizationCredentials | None

_RESUMED = "opened"
"""A phone whose registration is dormant gets no pushes: somebody opened the app."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A living push registration, and the secret that proved it."""

    context: WebContext
    registration: PushRegistration
    secret: str
    address: str
    """Where the request comes from."""
    resumed: bool = False
    """It was dormant until this request."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a push registration stands at one moment."""

    registration: PushRegistration
    account: Account
    view: LifeView


async def _holding(id: str, request: Request) -> Holding:
    """Raise `secret-refused`, or, for an ended life, the problem that says how it ended.

    Whatever is asked of a dormant one resumes it, save its deletion.

    All that the routes of a push registration need, in one dependency: each costs as much as a read.
    """
    context: WebContext = request.app.state.context
    visitor: Visitor = request.state.visitor
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    known = context.access.known(id, secret.strip() if scheme.lower() == "bearer" else "")
    if known is None:
        raise _refused()
    registration, life = known
    is_dormant = life.ended is Ended.DORMANT and request.method != "DELETE"
    if is_dormant:
        life = await context.lives.use(registration.id, _RESUMED) or life
    if life.ended is not None and not (life.ended is Ended.DORMANT and request.method == "DELETE"):
        raise _ended(life)
    return Holding(context, registration, secret.strip(), visitor.address, is_dormant)


Held = Annotated[Holding, Depends(_holding)]
"""How a route asks for the push registration in its path."""


async def use(holding: Holding, cause: str) -> Standing:
    """Renew by a use and return how it stands then. Raises the problem of an ended life."""
    await holding.context.lives.use(holding.registration.id, cause)
    await note_use(holding)
    return standing_of(holding.context, holding.registration.id)


async def note_use(holding: Holding) -> None:
    """The first use of a new secret ends the old one."""
    context, registration = holding.context, holding.registration
    if registration.previous_secret_hash:
        await context.store.transact(lambda tx: context.access.note_use(tx, registration.id, holding.secret))


def standing_of(context: WebContext, registration_id: int) -> Standing:
    """Return how a push registration stands now. Raises the problem of an ended life."""

    def read(tx: Transaction) -> Standing | None:
        registration = tx.registrations.get(registration_id)
        view = context.lives.view(tx, registration) if registration is not None else None
        account = tx.accounts.get(registration.account_id) if registration is not None else None
        if registration is None or view is None or account is None:
            return None
        return Standing(registration, account, view)

    standing = context.store.read(read)
    if standing is None:
        raise _refused()
    if standing.view.life.ended is not None:
        raise _ended(standing.view.life)
    return standing


def _refused() -> ProblemError:
    return ProblemError("secret-refused", "Enrol again.")


def _ended(life: Life) -> ProblemError:
    name = "push-registration-expired" if life.ended is Ended.EXPIRED else "push-registration-ended"
    return ProblemError(name, "Enrol again.")
