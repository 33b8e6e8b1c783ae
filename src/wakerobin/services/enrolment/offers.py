"""An enrolment on its way into the store, with what was found out before."""

from __future__ import annotations

from dataclasses import dataclass

from wakerobin.core.values import NO_SECRET, Account, Credentials, Duration, Secret
from wakerobin.services.enrolment.requests import EnrolRequest, Refusal


@dataclass(slots=True, kw_only=True)
class Offer:
    """What an installation offers, and whether it may be compared with what was proven."""

    request: EnrolRequest
    account: Account
    """As the enrolment describes it."""
    secret: Secret
    """Of the push registration that it becomes."""
    lifetime: Duration
    payload_key: Secret = NO_SECRET
    """What it gets where its app wants its pushes encrypted."""
    may_compare: bool = False
    was_wrong: bool = False
    """Whether it was compared and is another password."""
    foreseen: Refusal | None = None
    """What becomes of it unless it is the proven password."""

    def credentials_for(self, account: Account | None) -> Credentials:
        """Return what is offered; a proven account knows its user where the enrolment names none."""
        is_known = account is not None and account.proven and not self.request.auth_user
        username = account.auth_user if account is not None and is_known else self.account.auth_user
        return Credentials(username, self.request.password, self.request.keys)
