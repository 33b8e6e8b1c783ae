"""Languages by their tags (BCP 47): how a tag is written here, what it falls back to, which way it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

ENGLISH: Final = "en"

_OLD_CODES: Final = {"in": "id", "iw": "he", "ji": "yi", "no": "nb"}
"""What some systems still report, and what it is called today."""

_USUAL_SCRIPTS: Final = {
    "az": "latn",
    "bs": "latn",
    "kk": "cyrl",
    "ku": "latn",
    "ky": "cyrl",
    "mn": "cyrl",
    "ms": "latn",
    "pa": "guru",
    "sd": "arab",
    "sr": "cyrl",
    "tg": "cyrl",
    "ug": "arab",
    "uz": "latn",
    "zh": "hans",
}
"""Languages whose readers of one script cannot be expected to read the other, with the script meant by
the bare tag."""

_SCRIPTS_OF_REGIONS: Final = {
    ("pa", "pk"): "arab",
    ("sr", "me"): "latn",
    ("uz", "af"): "arab",
    ("zh", "hk"): "hant",
    ("zh", "mo"): "hant",
    ("zh", "tw"): "hant",
}
"""Where another script is the usual one."""

_RUN_LEFT: Final = frozenset(
    {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"}
    | {"adlm", "arab", "hebr", "nkoo", "syrc", "thaa"}
)
"""Languages and scripts that are written from right to left."""

_SCRIPT: Final = re.compile(r"[a-z]{4}")
_LANGUAGE: Final = re.compile(
    r"[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
)


def canonical(tag: str) -> str:
    """Return `de-at` for `de_AT.UTF-8`, `zh-hant-tw` for `zh-TW`: a script where it is not the usual one."""
    language, *rest = tag.partition(".")[0].replace("_", "-").lower().split("-")
    language = _OLD_CODES.get(language, language)
    script = ""
    if rest and _SCRIPT.fullmatch(rest[0]):
        script = rest.pop(0)
    elif rest:
        script = _SCRIPTS_OF_REGIONS.get((language, rest[0]), "")
    if script == _USUAL_SCRIPTS.get(language):
        script = ""
    return "-".join(part for part in (language, script, *rest) if part)


def is_language(tag: str) -> bool:
    """Whether a canonical tag names a language: code, script, region and variants (RFC 5646 section 2.1)."""
    return _LANGUAGE.fullmatch(tag) is not None


def fallbacks(locale: str) -> Iterator[str]:
    """Yield the canonical tags whose texts its readers can read, nearest first, and English at last.

    From `de-AT` to `de` (RFC 4647 section 3.4), but from `sr-Latn` not to `sr`, which is in Cyrillic.
    """
    parts = canonical(locale).split("-")
    has_other_script = parts[0] in _USUAL_SCRIPTS and len(parts) > 1 and bool(_SCRIPT.fullmatch(parts[1]))
    for length in range(len(parts), 1 if has_other_script else 0, -1):
        yield "-".join(parts[:length])
    yield ENGLISH


def is_right_to_left(tag: str) -> bool:
    """Whether a language runs from right to left; its script goes before what is usual."""
    language, *rest = canonical(tag).split("-")
    if rest and _SCRIPT.fullmatch(rest[0]):
        return rest[0] in _RUN_LEFT
    return language in _RUN_LEFT
