"""Which apps serve phones that never enrolled (RFC 8599), and what they offer them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wakerobin.core.guests import Offer
from wakerobin.core.values import Provider
from wakerobin.ports.options import AppOptions
from wakerobin.server.pushing import PushServices
from wakerobin.services.guests import Sponsor


def sponsors(apps: Mapping[str, AppOptions], pushing: PushServices) -> list[Sponsor]:
    """Return the apps with `plain_8599`, each with its push services that the RFC knows."""
    return [
        Sponsor(name, app.registrars, tuple(_offers(name, app, pushing)))
        for name, app in apps.items()
        if app.plain_8599
    ]


def _offers(name: str, app: AppOptions, pushing: PushServices) -> Iterator[Offer]:
    if app.apns is not None:
        team, topic = app.apns.team_id, app.apns.topic
        yield Offer(app=name, provider=Provider.APNS, team=team, topic=topic)
    if app.fcm is not None:
        yield Offer(app=name, provider=Provider.FCM, project=pushing.fcm_project(name))
    if app.webpush is not None:
        yield Offer(app=name, provider=Provider.WEBPUSH, vapid=pushing.webpush_key(name))
