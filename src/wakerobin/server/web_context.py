"""The running services as the web sees them."""

from __future__ import annotations

from collections.abc import Callable

from wakerobin.server.building import Rooms
from wakerobin.services.enrolment.importing import Importing
from wakerobin.services.push_checks import PushChecks
from wakerobin.web.context import WebContext


def web_context(rooms: Rooms, is_ready: Callable[[], bool]) -> WebContext:
    """Return what the API is made with."""
    ground = rooms.ground
    return WebContext(
        options=ground.options,
        store=ground.store,
        clock=ground.clock,
        endpoint=rooms.endpoint,
        access=rooms.access,
        enrolment=rooms.enrolment,
        importing=Importing(
            store=ground.store,
            clock=ground.clock,
            entropy=ground.entropy,
            key=ground.key,
            lives=rooms.lives,
            apps=ground.options.apps,
        ),
        lives=rooms.lives,
        fleet=rooms.fleet,
        handover=rooms.handover,
        switchboard=rooms.switchboard,
        messages=rooms.messages,
        selftests=rooms.selftests,
        texts=rooms.texts,
        webpush_key=rooms.pushing.webpush_key,
        push_checks=PushChecks(
            apps=ground.options.apps,
            service=rooms.pushing.of,
            clock_ahead=lambda: rooms.pushing.clock_ahead,
            clock=ground.clock,
            entropy=ground.entropy,
        ),
        is_ready=is_ready,
    )
