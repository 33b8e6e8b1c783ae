"""What a renewal tells the user, by how the account stands and who asks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.stores import account, registration
from wakerobin.core.values import BindingState
from wakerobin.texts import Catalogues
from wakerobin.web.api.answers import Binding
from wakerobin.web.api.notices import notice_of

CONTEXT: Any = SimpleNamespace(texts=Catalogues())


def notice(state: BindingState, cause: str, **changes: Any) -> str | None:
    standing: Any = SimpleNamespace(
        registration=registration(1, **{"locale": "en", **changes}), account=account()
    )
    binding = Binding(state=state, since_at=1, reason_code="403", reason="Forbidden", expires_at=None)
    return notice_of(CONTEXT, standing, binding, cause)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (BindingState.REFUSED, "refuses your account"),
        (BindingState.UNREACHABLE, "cannot be reached"),
        (BindingState.CREDENTIALS_NEEDED, "asks for your password"),
    ],
)
@pytest.mark.parametrize("cause", ["opened", "warning-extension"])
def test_whoever_renews_an_account_in_trouble_is_told_what_it_is(
    state: BindingState, words: str, cause: str
) -> None:
    said = notice(state, cause)
    assert said is not None
    assert words in said
    assert "still" not in said


def test_only_who_must_show_something_is_told_that_all_is_well() -> None:
    for state in (BindingState.REGISTERED, BindingState.REGISTERING):
        assert notice(state, "renewal-push") is None
        for cause in ("warning-extension", "service-worker"):
            assert "still receiving calls" in str(notice(state, cause))


def test_it_speaks_the_language_of_the_registration() -> None:
    assert "Telefonanlage" in str(notice(BindingState.REFUSED, "opened", locale="de-CH"))


def test_whose_password_was_never_proven_hears_it_from_the_binding_alone() -> None:
    assert notice(BindingState.REFUSED, "opened", proven=False) is None
