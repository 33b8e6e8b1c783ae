"""How fast pushes go, from the options."""

from __future__ import annotations

from collections.abc import Callable

from wakerobin.core.values import Provider
from wakerobin.ports.options import Options, PushOptions
from wakerobin.services.courier import LaneOptions, PaceOptions


def lane_options(push: PushOptions) -> LaneOptions:
    """Return how fast the courier goes."""
    return LaneOptions(pace=PaceOptions(rate=push.rate, ramp_s=push.ramp / 1000, in_flight=push.in_flight))


def is_rationed(options: Options) -> Callable[[str, Provider], bool]:
    """Return whether the push service of an app rations silent pushes: Apple's own does, no other."""
    of_apple = {
        name
        for name, app in options.apps.items()
        if app.apns is not None and ".push.apple.com" in app.apns.url
    }
    return lambda app, provider: provider is Provider.APNS and app in of_apple
