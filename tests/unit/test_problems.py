"""Problems: one shape, and nothing of the request in it."""

from __future__ import annotations

import json

import pytest

from wakerobin.core.values import BindingState
from wakerobin.services.enrolment import Refusal
from wakerobin.web.api.refusals import problem_of
from wakerobin.web.invalid import problem_of_invalid
from wakerobin.web.problems import CATALOGUE, FieldError, ProblemError, response_of, responses


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_problem_of_the_catalogue_is_an_rfc_9457_document(name: str) -> None:
    response = response_of(ProblemError(name, "Do this."))
    body = json.loads(bytes(response.body))
    assert response.media_type == "application/problem+json"
    assert body["type"] == f"urn:wakerobin:problem:{name}"
    assert body["status"] == response.status_code == CATALOGUE[name].status
    assert body["detail"] == "Do this."
    assert ("www-authenticate" in response.headers) is (response.status_code == 401)
    assert ("retry-after" in response.headers) is (body["action"] == "retry")


def test_the_time_to_wait_is_whole_seconds_and_never_none() -> None:
    assert response_of(ProblemError("registrar-busy", retry_after_s=0)).headers["retry-after"] == "1"
    assert response_of(ProblemError("registrar-busy", retry_after_s=12.2)).headers["retry-after"] == "13"


def test_a_refusal_of_a_field_points_at_it() -> None:
    problem = problem_of(Refusal("target-unusable", "an APNs token is hexadecimal", "/targets/0/token"))
    assert problem.errors == (
        FieldError("/targets/0/token", "target-unusable", "an APNs token is hexadecimal"),
    )
    assert problem_of(Refusal("aor-conflict", "elsewhere")).errors == ()


def test_an_unknown_field_is_not_named_because_it_is_the_clients_own_words() -> None:
    problem = problem_of_invalid([{"type": "extra_forbidden", "loc": ("body", "targets", 0, "hunter2")}])
    assert [one.pointer for one in problem.errors] == ["/targets/0"]
    assert "hunter2" not in bytes(response_of(problem).body).decode()


def test_pointers_are_escaped_and_bounded() -> None:
    problem = problem_of_invalid([{"type": "missing", "loc": ("body", "a/b~c")}] * 50)
    assert problem.errors[0].pointer == "/a~1b~0c"
    assert len(problem.errors) == 20


def test_what_is_no_json_is_malformed() -> None:
    assert problem_of_invalid([{"type": "json_invalid", "loc": ("body", 3)}]).name == "malformed-request"


def test_the_documentation_of_a_route_groups_its_problems_by_status() -> None:
    documented = responses("credentials-refused", "invalid-field")
    described = documented[422]["description"]
    assert "credentials-refused" in described
    assert "invalid-field" in described
    assert 503 in documented, "what stands before every route is documented at every route"


def test_the_words_of_bindings_are_the_words_of_the_api() -> None:
    assert {state.value for state in BindingState} == {
        "unproven",
        "registering",
        "registered",
        "refused",
        "unreachable",
        "credentials-needed",
        "stepped-aside",
    }
