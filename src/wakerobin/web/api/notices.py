"""What a renewal tells the user: why no calls arrive, or that they do, where something must be shown."""

from __future__ import annotations

from typing import Final

from wakerobin.core.pushes import PushType
from wakerobin.core.values import BindingState
from wakerobin.web.api.answers import Binding
from wakerobin.web.api.holding import Standing
from wakerobin.web.context import WebContext

_MUST_SHOW: Final = frozenset({"warning-extension", "service-worker"})
"""Causes of who renewed instead of showing a warning, and has to show something in its place."""

_TROUBLE: Final[dict[BindingState, tuple[PushType, str]]] = {
    BindingState.REFUSED: (PushType.REGISTRATION_TROUBLE, ""),
    BindingState.UNREACHABLE: (PushType.REGISTRATION_TROUBLE, "unreachable"),
    BindingState.CREDENTIALS_NEEDED: (PushType.CREDENTIALS_NEEDED, ""),
}


def notice_of(context: WebContext, standing: Standing, binding: Binding, cause: str) -> str | None:
    """Return a sentence in the language of the registration; None: there is nothing to say."""
    registration = standing.registration
    if not registration.proven:
        return None
    if binding.state in _TROUBLE:
        type_, variant = _TROUBLE[binding.state]
    elif cause in _MUST_SHOW:
        type_, variant = PushType.STILL_REACHABLE, ""
    else:
        return None
    name = registration.display_name or standing.account.aor.removeprefix("sip:")
    values = {"account": name}
    return context.texts.text(type_, registration.locale, registration.app, values, variant=variant).body
