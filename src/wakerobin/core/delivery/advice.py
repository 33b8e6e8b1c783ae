"""What an operator reads when pushes do not arrive: what is wrong, and how it is mended.

A reason is a push service's word. What no table knows gets the general sentence of its provider.
"""

from __future__ import annotations

from typing import Final

from wakerobin.core.values import Provider

_LONGEST: Final = 80

_NAMES: Final = {
    Provider.APNS: "Apple",
    Provider.FCM: "Google",
    Provider.WEBPUSH: "The browsers' push service",
    Provider.UNIFIEDPUSH: "The UnifiedPush server",
    Provider.WEBHOOK: "The webhook's server",
    Provider.ACROBITS: "Acrobits",
}

_TOKENS: Final[dict[tuple[Provider, str], str]] = {
    (Provider.APNS, "BadDeviceToken"): (
        "The tokens are of Apple's other environment: in [apps.{app}.apns] set `url` to "
        "https://api.sandbox.push.apple.com for builds from Xcode, and to https://api.push.apple.com for "
        "TestFlight and the App Store."
    ),
    (Provider.APNS, "DeviceTokenNotForTopic"): (
        "The tokens were made by an app with another bundle id: mend `topic` in [apps.{app}.apns]."
    ),
    (Provider.APNS, "Unregistered"): (
        "See whether a release of the app changed its bundle id, and whether `url` in [apps.{app}.apns] is "
        "the environment that the tokens are from."
    ),
    (Provider.FCM, "SENDER_ID_MISMATCH"): (
        "The tokens belong to another Firebase project: `service_account_file` in [apps.{app}.fcm] must be "
        "of the project of the app's google-services.json."
    ),
    (Provider.FCM, "UNREGISTERED"): (
        "See whether a release of the app changed its Firebase project; `service_account_file` in "
        "[apps.{app}.fcm] must be of the project that the app uses now."
    ),
}
_TOKENS_OF: Final[dict[Provider, str]] = {
    Provider.APNS: "Compare `topic` and `url` in [apps.{app}.apns] with the app's bundle id and build.",
    Provider.FCM: "Compare `service_account_file` in [apps.{app}.fcm] with the app's Firebase project.",
    Provider.WEBPUSH: (
        "Browsers subscribed with another VAPID key: `vapid_key_file` in [apps.{app}.webpush] must be the "
        "key whose public half the web app passes to `pushManager.subscribe`."
    ),
    Provider.UNIFIEDPUSH: (
        "Apps registered with another VAPID key: `vapid_key_file` in [apps.{app}.webpush] must be the one "
        "that they know."
    ),
    Provider.WEBHOOK: "The server at `url` in [apps.{app}.webhook] answers 410: see why it knows no target.",
    Provider.ACROBITS: "Compare `url` in [apps.{app}.acrobits] with where the app registers its tokens.",
}

_KEYS: Final[dict[tuple[Provider, str], str]] = {
    (Provider.APNS, "InvalidProviderToken"): (
        "`key_file`, `key_id` and `team_id` in [apps.{app}.apns] do not belong together."
    ),
    (Provider.APNS, "ExpiredProviderToken"): "Set this machine's clock: Apple reads our token as too old.",
    (Provider.APNS, "TopicDisallowed"): (
        "The key may not push to `topic` in [apps.{app}.apns]: mend the topic, or let Apple's developer "
        "site give the key this app."
    ),
    (Provider.APNS, "BadTopic"): "`topic` in [apps.{app}.apns] is no bundle id.",
    (Provider.APNS, "MissingTopic"): "Set `topic` in [apps.{app}.apns] to the app's bundle id.",
    (Provider.APNS, "BadCertificate"): "The certificate in [apps.{app}.apns] is none of Apple's for pushes.",
    (Provider.APNS, "BadCertificateEnvironment"): (
        "The certificate in [apps.{app}.apns] is for Apple's other environment: change it, or `url`."
    ),
    (Provider.APNS, "BadEnvironmentKeyIdInToken"): (
        "The key in [apps.{app}.apns] is for Apple's other environment: change it, or `url`."
    ),
    (Provider.FCM, "PERMISSION_DENIED"): (
        "The service account of [apps.{app}.fcm] may not send: give it the role Firebase Cloud Messaging "
        "API Admin, and enable that API in the project."
    ),
    (Provider.FCM, "UNAUTHENTICATED"): (
        "The key in `service_account_file` of [apps.{app}.fcm] was deleted or disabled, or this machine's "
        "clock is wrong: make a new key in the Firebase console."
    ),
    (Provider.FCM, "SERVICE_DISABLED"): (
        "The Firebase Cloud Messaging API is off in the project of [apps.{app}.fcm]: enable it in the Google "
        "Cloud console."
    ),
    (Provider.FCM, "NOT_FOUND"): (
        "Google knows no project as in `service_account_file` of [apps.{app}.fcm], or `url` there is wrong."
    ),
    (Provider.FCM, "THIRD_PARTY_AUTH_ERROR"): "The APNs or VAPID key in the Firebase project is not valid.",
    (Provider.WEBHOOK, "status 404"): "Nothing takes pushes at `url` in [apps.{app}.webhook]: mend it.",
    (Provider.WEBHOOK, "status 405"): "Nothing takes a POST at `url` in [apps.{app}.webhook]: mend it.",
}
_KEYS_OF: Final[dict[Provider, str]] = {
    Provider.APNS: "Check `key_file`, `key_id`, `team_id` and `topic` in [apps.{app}.apns].",
    Provider.FCM: "Check `service_account_file` in [apps.{app}.fcm], and this machine's clock.",
    Provider.WEBPUSH: (
        "Check `vapid_key_file` and `subject` in [apps.{app}.webpush], and this machine's clock."
    ),
    Provider.UNIFIEDPUSH: (
        "Check `vapid_key_file` and `subject` in [apps.{app}.webpush], and this machine's clock."
    ),
    Provider.WEBHOOK: "Check `secrets` in [apps.{app}.webhook]: the server at `url` refuses our signature.",
    Provider.ACROBITS: "Check `url` in [apps.{app}.acrobits].",
}


def refused_in_bulk(app: str, provider: Provider, reason: str) -> str:
    """Say why so many tokens of an app are refused at once that none of them is believed to be gone."""
    advice = _TOKENS.get((provider, reason)) or _TOKENS_OF[provider]
    return (
        f"{_NAMES[provider]} refuses more than a fifth of the push tokens of app {app} ({_short(reason)}), "
        f"so none of them is taken as gone and nobody's registration ends by it. {advice.format(app=app)}"
    )


def refused_key(app: str, provider: Provider, reason: str) -> str:
    """Say why a push service refuses us, whoever the push is for."""
    advice = _KEYS.get((provider, reason)) or _KEYS_OF[provider]
    return (
        f"{_NAMES[provider]} refuses what app {app} authenticates itself with ({_short(reason)}): warnings "
        f"and renewals wait, and no call wakes a phone. {advice.format(app=app)}"
    )


def service_down(app: str, provider: Provider, host: str, reason: str) -> str:
    """Say that a push service does not serve us."""
    at = f" ({host})" if host else ""
    return (
        f"{_NAMES[provider]}{at} does not take pushes of app {app} ({_short(reason)}). Warnings and renewals "
        "wait for it, and are sent when it is back; calls still try. Nothing has to be done here if it is "
        "down; else check that this machine reaches it by HTTPS."
    )


def _short(reason: str) -> str:
    """Return what the other side said, which may be anything, as a word or two."""
    said = " ".join(reason.split())
    return f"{said[:_LONGEST]}…" if len(said) > _LONGEST else said or "no reason given"
