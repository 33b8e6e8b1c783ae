"""Accounts that the operator brings: the lines of a file, as the command line sends them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from wakerobin.core.values import Platform
from wakerobin.services.enrolment.importing import Import, Imported, Importing
from wakerobin.services.enrolment.requests import EnrolRequest
from wakerobin.web.api.fields import EnrolFields, Fields
from wakerobin.web.invalid import problem_of_invalid

MOST_LINES = 50
"""Of one request; a body is small."""


class LineFields(EnrolFields):
    """One line: an enrolment that may not know its installation."""

    installation_id: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_-]{22})?$")] = ""
    platform: Platform = Platform.OTHER


class ImportFields(Fields):
    """`POST /v1/admin/accounts/import`; each line is looked at alone."""

    lines: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_LINES)]


async def import_lines(importing: Importing, lines: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Take in some lines and return what became of each, in their order."""
    read = [_read(line) for line in lines]
    taken = await importing.take([one for one in read if isinstance(one, EnrolRequest)])
    results = iter(taken)
    answers = [one if isinstance(one, Imported) else next(results) for one in read]
    return [{"result": one.result.value, "reason": one.reason} for one in answers]


def _read(line: dict[str, Any]) -> EnrolRequest | Imported:
    try:
        return LineFields.model_validate(line).request()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problem = problem_of_invalid([{**one, "loc": ("body", *one["loc"])} for one in found])
        return Imported(Import.REFUSED, "; ".join(f"{one.pointer}: {one.detail}" for one in problem.errors))
