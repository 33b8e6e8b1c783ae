"""What the PBX says of an account and of credentials that wait for their proof."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from wakerobin.core.binding import ONE_CONTACT_CODE
from wakerobin.core.lifetime import Cease, Proven
from wakerobin.core.pushes import PushType
from wakerobin.core.values import (
    Account,
    Algorithm,
    BindingState,
    Credentials,
    Ended,
    PushRegistration,
    RealmKey,
    Way,
)
from wakerobin.ports.store import OutboxRow, Transaction, Trial
from wakerobin.services import story
from wakerobin.services.lives.context import is_warnable
from wakerobin.services.lives.effects import Apply

_LIVE = frozenset({BindingState.REGISTERED, BindingState.REGISTERING})
_REPLACED = (None, Ended.DORMANT)
_DAY = 24 * 3600_000


@dataclass(frozen=True, slots=True)
class Proof:
    """What a 2xx to a challenged REGISTER proved: HA1s for every realm asked on the way."""

    keys: tuple[RealmKey, ...]
    realm: str
    """The realm that the registrar asked last and accepted."""
    algorithm: Algorithm
    granted_s: int = 0
    """The expiry that the PBX granted, 0 where it did not say."""
    way: Way | None = None
    """Where it was proven; None: where the account is."""


def prove(tx: Transaction, registration_id: int, proof: Proof, now: int, apply: Apply) -> bool:
    """Take credentials as proven: HA1s replace the password, and the registration gets pushes.

    Another registration of the same installation makes way. False: there is no such registration, or
    the account was proven elsewhere meanwhile.
    """
    registration = tx.registrations.get(registration_id)
    account = tx.accounts.get(registration.account_id) if registration else None
    life = tx.lives.get(registration_id)
    if registration is None or account is None or life is None or life.ended is not None:
        return False
    if account.proven and proof.way not in (None, way_of(account)):
        return False
    trial = tx.binding_work.trial(registration_id)
    before = trial.credentials if trial else tx.accounts.credentials(account.id)
    username = before.username if before else account.auth_user
    if not account.proven:
        # What was left of an earlier life under the same Contact must not take this binding away.
        tx.binding_work.drop_unregisters(account.id, account.contact_user)
        account = replace(account, **asdict(proof.way)) if proof.way is not None else account
    if proof.keys:
        tx.accounts.set_credentials(account.id, Credentials(username, keys=proof.keys))
    tx.accounts.update(_registered(replace(account, auth_user=username), proof, now))
    if trial is not None:
        tx.binding_work.remove_trial(registration_id)
    proven = replace(registration, proven=True)
    if not registration.proven:
        tx.registrations.update(proven)
        apply(tx, proven, Proven())
    story.tell(tx, story.of_registration(registration_id), now, "proven", realm=proof.realm)
    for other in tx.registrations.by_installation(account.id, registration.installation):
        other_life = tx.lives.get(other.id)
        if other.id != registration_id and other_life is not None and other_life.ended in _REPLACED:
            story.tell(tx, story.of_registration(other.id), now, "replaced")
            tx.messages.hand_on(other.id, registration_id)
            apply(tx, other, Cease(Ended.DELETED))
    withhold_notices(tx, proven)
    return True


def withhold_notices(tx: Transaction, registration: PushRegistration) -> None:
    """Do not tell an installation that calls no longer arrive, now that they do again."""
    for other in tx.registrations.by_installation(registration.account_id, registration.installation):
        life = tx.lives.get(other.id)
        if other.id == registration.id or life is None or life.ended in _REPLACED:
            continue
        if tx.outbox.void(other.id, life.generation + 1):
            for target in tx.targets.of_registration(other.id):
                tx.targets.remove(target.id)  # kept for the notice alone


def tried_at(account: Account, trial: Trial | None) -> Account:
    """Return the account as a trial of its credentials sees it.

    Anybody can enrol with any password, so what an enrolment says of the way to the PBX is its own until it
    is proven; then it is the account's, and later enrolments are tried there.
    """
    if account.proven or trial is None or trial.way is None:
        return account
    return replace(account, **asdict(trial.way))


def way_of(account: Account) -> Way:
    """Return where the PBX of an account is."""
    return Way(
        registrar=account.registrar, outbound_proxy=account.outbound_proxy, transport=account.transport
    )


def refuse(tx: Transaction, registration_id: int, code: str, reason: str, now: int) -> None:
    """Drop credentials that the PBX refused; proven ones, and the account they work for, stay as they are."""
    registration = tx.registrations.get(registration_id)
    if registration is None:
        return
    if tx.binding_work.trial(registration_id) is not None:
        tx.binding_work.remove_trial(registration_id)
    account = tx.accounts.get(registration.account_id)
    if account is not None and not account.proven:
        tx.accounts.update(_in_state(account, BindingState.REFUSED, code, reason, now))
    story.tell(tx, story.of_registration(registration_id), now, "refused", code=code, reason=reason)


def change_state(
    tx: Transaction, account_id: int, state: BindingState, code: str, reason: str, now: int
) -> bool:
    """Store where the binding of an account stands, and tell it where that is news; False: it is none."""
    account = tx.accounts.get(account_id)
    if account is None or (account.state, account.reason_code) == (state, code):
        return False
    if account.state is BindingState.STEPPED_ASIDE:
        return False  # what was under way when it made way says nothing any more
    tx.accounts.update(_in_state(account, state, code, reason, now))
    event = _event(account.state, state) or _remark(account.reason_code, code)
    for registration in tx.registrations.of_account(account_id):
        if not registration.proven:
            continue
        if event:
            story.tell(tx, story.of_registration(registration.id), now, event, code=code, reason=reason)
        if state is BindingState.CREDENTIALS_NEEDED:
            _ask_for_password(tx, registration, now)
    return True


def forget(tx: Transaction, registration_id: int) -> None:
    """Remove a push registration for good with its story, and its account where nothing else needs it."""
    registration = tx.registrations.get(registration_id)
    if registration is None:
        return
    tx.registrations.remove(registration_id)
    tx.stories.erase(story.of_registration(registration_id))
    account = tx.accounts.get(registration.account_id)
    if account is None or account.proven or tx.registrations.of_account(account.id):
        return
    try:
        tx.accounts.remove(account.id)
    except ValueError:
        return  # tombstones of other registrations still name it; the last of them takes it along


def _registered(account: Account, proof: Proof, now: int) -> Account:
    proven = replace(account, proven=True, realm=proof.realm, algorithm=proof.algorithm)
    if account.state is BindingState.REGISTERED:
        return proven
    return _in_state(proven, BindingState.REGISTERED, "", "", now)


def _in_state(account: Account, state: BindingState, code: str, reason: str, now: int) -> Account:
    since_at = account.state_since_at if account.state is state else now
    return replace(account, state=state, reason_code=code, reason=reason, state_since_at=since_at)


def _event(before: BindingState, state: BindingState) -> str:
    if state is BindingState.CREDENTIALS_NEEDED:
        return "credentials-needed"
    if before is BindingState.UNPROVEN:
        return "registered" if state is BindingState.REGISTERED else ""
    if state in _LIVE:
        return "" if before in _LIVE else "binding-back"
    return "binding-lost" if before in _LIVE else ""


def _remark(before: str, code: str) -> str:
    """Return what is to be told of a binding that stands and is in danger, or is no more."""
    if code == ONE_CONTACT_CODE:
        return "one-contact"
    return "several-contacts" if before == ONE_CONTACT_CODE and not code else ""


def _ask_for_password(tx: Transaction, registration: PushRegistration, now: int) -> None:
    standing = next(iter(tx.lives.standings([registration.id])), None)
    if standing is None or standing.life.ended is not None:
        return
    if not is_warnable(standing.capabilities, standing.kinds):
        return  # a push that shows nothing is of no use
    life = standing.life
    tx.outbox.add(
        OutboxRow(
            slot=life.slot,
            registration_id=life.id,
            generation=life.generation,
            kind=PushType.CREDENTIALS_NEEDED,
            step=0,
            not_before=now,
            deadline_at=now + _DAY,
        )
    )
