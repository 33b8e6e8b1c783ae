"""Which form of a text a count takes: the cardinal rules of CLDR, for whole numbers.

A language that is not named here has one form for 1 and another for everything else. The form that
French and its relatives have for whole millions is left out: nobody misses that many calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Rule:
    """The forms that whole numbers take, `other` apart, and which number takes which."""

    forms: tuple[str, ...]
    form: Callable[[int], str]


def _one(n: int) -> str:
    return "one" if n == 1 else OTHER


def _none(_n: int) -> str:
    return OTHER


def _zero_or_one(n: int) -> str:
    return "one" if n <= 1 else OTHER


def _ends_in_two_to_four(n: int) -> bool:
    return 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14


def _ends_in_one(n: int) -> bool:
    return n % 10 == 1 and n % 100 != 11


def _polish(n: int) -> str:
    if n == 1:
        return "one"
    return "few" if _ends_in_two_to_four(n) else "many"


def _czech(n: int) -> str:
    if n == 1:
        return "one"
    return "few" if 2 <= n <= 4 else OTHER


def _russian(n: int) -> str:
    if _ends_in_one(n):
        return "one"
    return "few" if _ends_in_two_to_four(n) else "many"


def _croatian(n: int) -> str:
    if _ends_in_one(n):
        return "one"
    return "few" if _ends_in_two_to_four(n) else OTHER


def _macedonian(n: int) -> str:
    return "one" if _ends_in_one(n) else OTHER


def _slovene(n: int) -> str:
    return {1: "one", 2: "two", 3: "few", 4: "few"}.get(n % 100, OTHER)


def _lithuanian(n: int) -> str:
    if n % 10 == 0 or 11 <= n % 100 <= 19:
        return OTHER
    return "one" if n % 10 == 1 else "few"


def _latvian(n: int) -> str:
    if n % 10 == 0 or 11 <= n % 100 <= 19:
        return "zero"
    return "one" if n % 10 == 1 else OTHER


def _romanian(n: int) -> str:
    if n == 1:
        return "one"
    return "few" if n == 0 or 1 <= n % 100 <= 19 else OTHER


def _hebrew(n: int) -> str:
    return {1: "one", 2: "two"}.get(n, OTHER)


def _arabic(n: int) -> str:
    if n <= 2:
        return ("zero", "one", "two")[n]
    if 3 <= n % 100 <= 10:
        return "few"
    return "many" if n % 100 >= 11 else OTHER


_DEFAULT: Final = Rule(("one",), _one)

_RULES: Final[dict[str, Rule]] = {
    language: rule
    for languages, rule in (
        ("id ja km ko lo ms my th vi yue zh", Rule((), _none)),
        ("am bn fa fr gu hi hy kn pa pt si zu", Rule(("one",), _zero_or_one)),
        ("pl", Rule(("one", "few", "many"), _polish)),
        ("cs sk", Rule(("one", "few"), _czech)),
        ("be ru uk", Rule(("one", "few", "many"), _russian)),
        ("bs hr sr", Rule(("one", "few"), _croatian)),
        ("is mk", Rule(("one",), _macedonian)),
        ("sl", Rule(("one", "two", "few"), _slovene)),
        ("lt", Rule(("one", "few"), _lithuanian)),
        ("lv", Rule(("zero", "one"), _latvian)),
        ("ro", Rule(("one", "few"), _romanian)),
        ("he", Rule(("one", "two"), _hebrew)),
        ("ar", Rule(("zero", "one", "two", "few", "many"), _arabic)),
    )
    for language in languages.split()
}


def plural_forms(language: str) -> tuple[str, ...]:
    """Return the forms that counts take in a language beside `other`; the tag is canonical."""
    return _rule(language).forms


def plural_form(language: str, count: int) -> str:
    """Return the form for a count of 0 or more: `zero`, `one`, `two`, `few`, `many` or `other`."""
    return _rule(language).form(count)


def _rule(language: str) -> Rule:
    return _RULES.get(language.partition("-")[0], _DEFAULT)
