"""The OpenAPI document says all that the API does, and its examples are true."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.system.served import serving
from wakerobin.web.api import answers, fields
from wakerobin.web.problems import CATALOGUE, URN

ROUTES = {
    "POST /v1/push-registrations",
    "GET /v1/push-registrations/{id}",
    "PATCH /v1/push-registrations/{id}",
    "DELETE /v1/push-registrations/{id}",
    "POST /v1/push-registrations/{id}/renew",
    "POST /v1/push-registrations/{id}/step-aside",
    "POST /v1/push-registrations/{id}/return",
    "POST /v1/push-registrations/{id}/receipts",
    "POST /v1/push-registrations/{id}/test",
    "GET /v1/push-registrations/{id}/tests/{test_id}",
    "POST /v1/push-registrations/{id}/verify",
    "GET /v1/apps/{app}",
    "GET /v1/push-registrations/{id}/calls",
    "GET /v1/push-registrations/{id}/calls/{call_id}",
    "GET /v1/push-registrations/{id}/calls/{call_id}/timeline",
    "POST /v1/push-registrations/{id}/calls/{call_id}/progress",
    "POST /v1/push-registrations/{id}/calls/{call_id}/decline",
    "GET /v1/push-registrations/{id}/messages",
    "POST /v1/push-registrations/{id}/messages",
    "GET /v1/push-registrations/{id}/messages/{message_id}",
    "DELETE /v1/push-registrations/{id}/messages/{message_id}",
    "GET /v1/push-registrations/{id}/messages/sent/{message_id}",
    "GET /v1/push-registrations/{id}/mwi",
}
ENROLMENT = {
    "app",
    "aor",
    "auth_user",
    "display_name",
    "credentials",
    "registrar",
    "outbound_proxy",
    "transport",
    "targets",
    "installation_id",
    "platform",
    "os_version",
    "app_version",
    "locale",
    "time_zone",
    "capabilities",
    "lifetime_s",
}


@pytest.fixture
async def document(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    async with serving(tmp_path, "127.81.0.5") as world:
        yield (await world.api.send("GET", "/openapi.json")).json


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_every_route_field_and_problem_is_in_the_document(document: dict[str, Any]) -> None:
    found = dict(operations(document))
    assert set(found) == ROUTES
    schemas = document["components"]["schemas"]
    assert set(schemas["EnrolFields"]["properties"]) == ENROLMENT
    assert schemas["EnrolFields"]["additionalProperties"] is False
    assert set(schemas["Problem"]["properties"]["type"]["enum"]) == {
        "about:blank",
        *(URN + name for name in CATALOGUE),
    }
    text = json.dumps(list(found.values()))
    for name in CATALOGUE:
        assert URN + name in text, f"no route documents {name}"


async def test_every_route_says_how_it_is_authorised_and_what_it_is_for(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["security"], name
        assert operation["summary"], name
        assert operation["description"], name
        for status, response in operation["responses"].items():
            media = response.get("content", {})
            if int(status) >= 400:
                assert set(media) == {"application/problem+json"}, (name, status)


async def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = set(references(document))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"], reference


def models() -> Iterator[type[BaseModel]]:
    for module in (answers, fields):
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseModel)
                and value.__module__ == module.__name__
            ):
                yield value


@pytest.mark.parametrize("model", list(models()), ids=lambda model: str(model.__name__))
def test_examples_are_valid(model: type[BaseModel]) -> None:
    for example in model.model_json_schema().get("examples", []):
        model.model_validate(example)


async def test_what_is_answered_is_what_is_documented(tmp_path: Path) -> None:
    async with serving(tmp_path, "127.81.0.6") as world:
        body = (await world.api.enrol(world.fields())).json
        assert_documented(answers.EnrolmentAnswer, body)
        renewed = await world.api.send(
            "POST", f"/v1/push-registrations/{body['id']}/renew", {"cause": "opened"}, body["secret"]
        )
        assert_documented(answers.RenewAnswer, renewed.json)


def assert_documented(model: type[BaseModel], body: dict[str, Any]) -> None:
    """Fail where the answer has more, less, or other fields than its model."""
    assert model.model_validate(body).model_dump(mode="json") == body
