"""What pydantic says of a request, as a problem that points at the field and repeats nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wakerobin.web.problems import FieldError, ProblemError

MOST_ERRORS = 20

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "has a field that is not known",
    "string_type": "must be text",
    "string_pattern_mismatch": "has characters that are not allowed here, or too few of them",
    "string_unicode": "is no valid Unicode text",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}


def problem_of_invalid(errors: Iterable[Mapping[str, Any]]) -> ProblemError:
    """Return the problem that these errors of pydantic are."""
    found = list(errors)
    if any(error["type"] == "json_invalid" for error in found):
        return ProblemError("malformed-request", "The body is no JSON document.")
    shown = [_field_error(error) for error in found[:MOST_ERRORS]]
    first = shown[0]
    return ProblemError("invalid-field", f"{first.pointer or 'The request'} {first.detail}.", errors=shown)


def _field_error(error: Mapping[str, Any]) -> FieldError:
    place, *path = error["loc"]
    kind = str(error["type"])
    if kind == "extra_forbidden":
        path = path[:-1]  # its name is the client's own words
    pointer = "".join(f"/{_escaped(part)}" for part in path)
    if place != "body":
        pointer = f"?{path[0]}" if path else ""
    return FieldError(pointer, kind.replace("_", "-"), _detail(kind, error))


def _detail(kind: str, error: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    if kind in _WORDS:
        return _WORDS[kind]
    context: Mapping[str, Any] = error.get("ctx") or {}
    for key, words in (
        ("expected", "must be one of {}"),
        ("max_length", "is longer than {}"),
        ("min_length", "is shorter than {}"),
        ("ge", "must be at least {}"),
        ("le", "must be at most {}"),
    ):
        if key in context:
            return words.format(context[key])
    return "cannot be used"


def _escaped(part: Sequence[str] | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
