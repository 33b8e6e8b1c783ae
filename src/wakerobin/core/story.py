"""The words of a story: what happened to a call or a push registration, a sentence for every event.

Stories are stored as event names with details; the API's timelines, the command line and the demo read
them as sentences. Details that a sentence does not name are left out; an unknown event reads as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

Details: TypeAlias = Mapping[str, Any]
_Sentence: TypeAlias = str | Callable[[Details], str]

_CAUSES = {
    "opened": "the app was opened",
    "foreground": "the app came to the foreground",
    "renewal-push": "a silent push woke the app",
    "tapped-warning": "the user tapped the warning",
    "tapped-notice": "the user tapped the notice",
    "warning-extension": "the app answered the warning before it was shown",
    "service-worker": "the browser answered a push",
    "background": "the app left the foreground",
    "call": "a call was answered or declined",
    "register": "the phone registered",
    "enrolled-again": "the app enrolled again",
    "patched": "the app changed something",
    "receipt": "the app confirmed a push",
    "clock": "the app was used while the clock was in doubt",
    "changed": "the app changed it",
    "other": "the app asked how it stands",
}
_ENDS = {
    "expired": "nobody used the app in time",
    "deleted": "the app deleted it",
    "targets-gone": "the app is no longer on the phone",
    "refused": "the PBX refuses the account",
    "dormant": "nobody used the app in time; one use resumes it",
}

_RECEIPTS = {
    "received": "it arrived",
    "shown": "it was shown",
    "suppressed-renewed": "the app renewed itself instead of showing it",
    "not-permitted": "the user does not allow notifications",
    "tapped": "the user tapped it",
}


_REASON_TEXT = re.compile(r';\s*text="([^"]+)"')
_REASON_CAUSE = re.compile(
    r"(?:^|,)\s*(SIP|Q\.850)\s*;(?:[^,]*;)?\s*cause\s*=\s*(\d{1,3})(?!\d)", re.IGNORECASE
)
_COMPLETED_ELSEWHERE = frozenset({("SIP", "200"), ("Q.850", "26")})
_DECLINED_ELSEWHERE = frozenset({("SIP", "600"), ("SIP", "603"), ("SIP", "607"), ("Q.850", "21")})


def words(event: str, details: Details) -> str:
    """Return what happened, as a sentence."""
    sentence = _SENTENCES.get(event)
    if sentence is None:
        said = ", ".join(f"{name} {value}" for name, value in details.items())
        return f"{event} ({said})" if said else event
    return sentence(details) if callable(sentence) else sentence


def readable(text: str) -> str:
    """Return text that JSON and a database can hold: octets that are no UTF-8 become U+FFFD."""
    try:
        octets = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair, out of somebody's JSON
        octets = text.encode("utf-8", "surrogatepass")
    return octets.decode("utf-8", "replace")


def said_in(reason: str) -> str:
    """Return what a Reason header says to people (RFC 3326), any other text as it is."""
    quoted = _REASON_TEXT.search(reason)
    return quoted[1] if quoted else reason


def is_elsewhere(reason: str) -> bool:
    """Whether a Reason header says that somebody else answered the call (RFC 3326: a cause of 200)."""
    return not _causes(reason).isdisjoint(_COMPLETED_ELSEWHERE)


def is_declined_elsewhere(reason: str) -> bool:
    """Whether a Reason header says that somebody declined the call for all of the user's phones."""
    return not _causes(reason).isdisjoint(_DECLINED_ELSEWHERE)


def _causes(reason: str) -> set[tuple[str, str]]:
    return {(found[1].upper(), found[2]) for found in _REASON_CAUSE.finditer(reason)}


def duration(milliseconds: int) -> str:
    """Return a duration as people say it: `850 ms`, `2.4 s`, `12 h`, `7 d`."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if milliseconds >= size:
            count = milliseconds / size
            return f"{count:.0f} {unit}" if count == int(count) else f"{count:.1f} {unit}"
    return f"{milliseconds / 1000:.1f} s".replace(".0 s", " s")


def moment(at: int) -> str:
    """Return epoch milliseconds as date and time, UTC."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(at)


def _after(prefix: str) -> Callable[[Details], str]:
    def sentence(details: Details) -> str:
        after = details.get("after_ms")
        return f"{prefix} after {duration(int(after))}." if isinstance(after, int | float) else f"{prefix}."

    return sentence


def _because(prefix: str, key: str = "reason") -> Callable[[Details], str]:
    def sentence(details: Details) -> str:
        reason = str(details.get(key) or "").rstrip(".")
        return f"{prefix}: {reason}." if reason else f"{prefix}."

    return sentence


def _to(prefix: str, key: str = "to") -> Callable[[Details], str]:
    def sentence(details: Details) -> str:
        place = details.get(key)
        return f"{prefix} {place}." if place else f"{prefix}."

    return sentence


def _cancelled(details: Details) -> str:
    reason = str(details.get("reason") or "")
    if is_elsewhere(reason):
        return "Somebody answered at another phone of the PBX."
    return _because("The call was cancelled")({"reason": said_in(reason)})


def _ended(details: Details) -> str:
    reason = str(details.get("reason") or "")
    return _because("It ended")({"reason": _ENDS.get(reason, reason)})


def _renewed(details: Details) -> str:
    cause = str(details.get("cause") or "")
    said = f"Renewed: {_CAUSES.get(cause, cause)}" if cause else "Renewed"
    until = details.get("expires_at")
    return f"{said}; it lives until {moment(until)}." if isinstance(until, int) else f"{said}."


def _warned(details: Details) -> str:
    lead = details.get("lead_s")
    if not isinstance(lead, int | float):
        return "The user was warned that it ends soon."
    if lead <= 0:
        return "The user was warned, late: the end waits for it."
    return f"The user was warned, {duration(int(lead * 1000))} before the end."


def _phone_refused(details: Details) -> str:
    answer = " ".join(str(details[name]) for name in ("status", "reason") if details.get(name))
    return f"The phone refused the call: {answer}." if answer else "The phone refused the call."


def _large(details: Details) -> str:
    said = "The INVITE is larger than a network may let pass by UDP"
    octets = details.get("octets")
    return f"{said}: {octets} octets." if isinstance(octets, int) else f"{said}."


def _no_sound(details: Details) -> str:
    address = details.get("address")
    said = f"the PBX offers the private address {address}" if address else "the PBX offers a private address"
    return (
        f"No sound is likely: {said} to a phone outside its network. Set external_media_address (Asterisk) "
        "or ext-rtp-ip (FreeSWITCH) there."
    )


def _until(prefix: str) -> Callable[[Details], str]:
    def sentence(details: Details) -> str:
        until = details.get("expires_at")
        return f"{prefix} until {moment(until)}." if isinstance(until, int) else f"{prefix}."

    return sentence


def _returned(details: Details) -> str:
    if details.get("by") == "time":
        return "The app has said nothing for too long; this server registers the account again."
    return "The app gives its calls back; this server registers the account again."


def _revived(details: Details) -> str:
    return _renewed(details).replace("Renewed", "Revived", 1)


def _troubled(details: Details) -> str:
    refused = details.get("cause") == "refused"
    said = "The PBX refuses the account" if refused else "The PBX cannot be reached"
    return _because(f"{said} for so long that the user must hear of it")(details)


def _gone(details: Details) -> str:
    reason = str(details.get("reason") or "")
    return f"A push target is gone; the push service says: {reason}." if reason else "A push target is gone."


def _mailbox(details: Details) -> str:
    if not details.get("waiting"):
        return "Nothing new waits in the mailbox."
    new = details.get("new")
    return f"New in the mailbox: {new}." if new else "Something new waits in the mailbox."


def _receipt(details: Details) -> str:
    kind = str(details.get("kind") or "")
    return f"The phone reported of a push: {_RECEIPTS.get(kind, kind)}."


_SENTENCES: dict[str, _Sentence] = {
    # push registrations
    "enrolled": "The app enrolled it.",
    "enrolled-again": "The app enrolled it again and got a new secret.",
    "changed": "The app changed it.",
    "receipt": _receipt,
    "proven": _to("The PBX accepted the credentials; calls wake the phone from now on. Realm:", "realm"),
    "refused": _because("The PBX refused the credentials"),
    "renewed": _renewed,
    "renewal-sent": "A silent push asked the app to renew it.",
    "renewal-failed": _because("The silent push that asks the app to renew it was not taken"),
    "warning-sent": _warned,
    "warning-failed": _because("The warning could not be shown"),
    "grace-over": "Its last warning could not be delivered in time; it ends without one.",
    "end-postponed": "It would end now, but a call is ringing; the end waits for it once.",
    "expired": "It ended: nobody used the app in time. The phone is no longer called.",
    "ended": _ended,
    "notice-sent": "The user was told that calls no longer arrive.",
    "notice-failed": _because("The user could not be told that calls no longer arrive"),
    "forgotten": "Nobody resumed it in time; its credentials are erased.",
    "revived": _revived,
    "trouble": _troubled,
    "trouble-over": "The account is registered at the PBX again, and whoever was told of trouble hears it.",
    "policy-changed": _until("The app's rules were changed; it lives"),
    "extended": _until("Somebody who runs the server lets it live"),
    "rewarned": "Somebody who runs the server had its user warned.",
    "target-gone": _gone,
    "target-suspected": _because("A push target may be gone; it is tried for another day"),
    "target-claimed": "It has a push token that another installation has too; the app is asked for a proof.",
    "target-taken": "A push target is gone: another installation has proven that the token is its own.",
    "verify-sent": "The app was asked to prove that the push token is its own.",
    "verify-failed": _because("The app could not be asked to prove that the push token is its own"),
    "targets-needed": "Nothing is left that could ring the phone; the user is asked to open the app.",
    "targets-needed-sent": "The user was asked to open the app to keep receiving calls.",
    "targets-needed-failed": _because("The user could not be asked to open the app"),
    "targets-restored": "Too many targets were refused at once: the fault is ours, and nothing ends by it.",
    "replaced": "The same installation enrolled again; this registration made way.",
    "unregistered": "The phone's binding was removed at the PBX.",
    "unregister-failed": _because("The binding could not be removed at the PBX"),
    "registered": "The account is registered at the PBX.",
    "one-contact": (
        "The PBX keeps one device for this extension, and forgets us when another registers: calls are lost "
        "until its limit (FreePBX: Max Contacts) is raised to 5."
    ),
    "several-contacts": "The PBX keeps us beside the other devices of the extension now.",
    "stepped-aside": "The app registers at the PBX itself; the binding of this server makes way.",
    "returned": _returned,
    "binding-lost": _because("The account is not registered at the PBX any more"),
    "binding-back": "The account is registered at the PBX again.",
    "credentials-needed": _because("The PBX asks for new credentials; the app is asked for the password"),
    "credentials-needed-sent": "The user was asked to open the app and enter the password.",
    "credentials-needed-failed": _because("The user could not be asked for the password"),
    "trouble-sent": "The user was told that the PBX is in the way.",
    "trouble-failed": _because("The user could not be told that the PBX is in the way"),
    "trouble-over-sent": "The user was told that calls arrive again.",
    "trouble-over-failed": _because("The user could not be told that calls arrive again"),
    "still-reachable-sent": "A quiet note told the user that calls still arrive.",
    "still-reachable-failed": _because("The user could not be shown that calls still arrive"),
    "missed-call-sent": "The user was told of a missed call.",
    "missed-call-failed": _because("The user could not be told of a missed call"),
    "message": "A message came in; it is kept for the phone.",
    "message-sent": "The user was told of a message.",
    "message-failed": _because("The user could not be told of a message"),
    "message-delivered": "The phone took a message.",
    "message-fetched": "The app fetched messages.",
    "message-refused": _because("The phone refused a message"),
    "mwi": _mailbox,
    "mwi-sent": "The user was told what waits in the mailbox.",
    "mwi-failed": _because("The user could not be told what waits in the mailbox"),
    # phones that have not enrolled
    "guest-registered": _to("The phone registered at its PBX through us. Push service:", "provider"),
    "guest-refreshed": "The phone woke and refreshed its binding at the PBX.",
    "guest-pushed-to-refresh": "A silent push asked the phone to refresh its binding.",
    "guest-target-gone": _because("The push service says that the phone is gone"),
    "guest-left": "The phone is not registered through us any more.",
    "guest-expired": "The phone's binding at the PBX has ended, and with it all pushes.",
    # calls
    "invite": _to("A call came in from", "caller"),
    "push-sent": "A push to wake the phone was sent.",
    "push-accepted": _after("The push service took the push"),
    "push-failed": _because("The push service did not take the push"),
    "phone-connected": _after("The phone woke and connected"),
    "phone-moved": _to("The phone that rings has moved; it rings on at"),
    "flow-dead": _because("The phone's connection is dead"),
    "ringback": "The caller hears ringing.",
    "progress": "The app woke and reported that it takes care of the call.",
    "offered": _to("The call was offered to the phone at"),
    "too-large": _large,
    "browser-unfit": "The phone is a browser and the PBX offered no DTLS-SRTP with ICE, without which it has "
    "no sound: set webrtc=yes for this account (Asterisk), or have something between them that does it.",
    "no-sound-likely": _no_sound,
    "ringing": _after("The phone rings"),
    "phone-refused": _phone_refused,
    "answered": "The call was answered.",
    "late-answer-ended": _to("Another phone answered too late and its call was ended; it was at"),
    "declined": "The call was declined.",
    "cancelled": _cancelled,
    "missed": _because("Nobody answered"),
    "hung-up-unheard": "The other side hung up while the phone had no connection; it will be told.",
    "call-over-sent": _to("The phone was told that the call is over, by", "by"),
    "resumed": "The server was started again and took the call up.",
}

EVENTS = frozenset(_SENTENCES)
"""Every event that has words."""
