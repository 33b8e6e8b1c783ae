"""Checks JSON against a Google API discovery document, as far as messages to FCM need it."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_DURATION = re.compile(r"[0-9]+(\.[0-9]{1,9})?s")


@functools.cache
def fcm_v1() -> dict[str, Any]:
    """Return Google's own description of FCM HTTP v1, as it ships with its Python client."""
    spec = importlib.util.find_spec("googleapiclient")
    assert spec is not None
    assert spec.origin is not None
    document = json.loads((Path(spec.origin).parent / "discovery_cache/documents/fcm.v1.json").read_text())
    assert isinstance(document, dict)
    return document


def violations(value: Any, schema: dict[str, Any], place: str = "$") -> list[str]:
    """Return what a value breaks of a schema of `fcm_v1`; unknown fields are violations too."""
    return list(_violations(value, schema, place))


def _violations(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _violations(value, fcm_v1()["schemas"][schema["$ref"]], place)
        return
    match schema["type"]:
        case "object":
            yield from _of_object(value, schema, place)
        case "string":
            yield from _of_string(value, schema, place)
        case "boolean":
            if not isinstance(value, bool):
                yield f"{place} is no boolean"
        case other:
            yield f"{place}: a type {other} that this checker does not know"


def _of_object(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place} is no object"
        return
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for name, one in value.items():
        inner = properties.get(name, rest)
        if inner is None:
            yield f"{place}.{name} is no field"
        else:
            yield from _violations(one, inner, f"{place}.{name}")


def _of_string(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{place} is no string"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} = {value!r} is none of {schema['enum']}"
    if schema.get("format") == "google-duration" and _DURATION.fullmatch(value) is None:
        yield f"{place} = {value!r} is no duration"
