"""Why an account is not bound, in the words that its user and the operator read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wakerobin.core.binding import in_words

HOUR = 3600_000
SINCE = int(datetime(2026, 11, 24, 13, 2, tzinfo=UTC).timestamp() * 1000)  # a Tuesday


def test_it_says_since_which_day_and_hour_in_the_users_zone() -> None:
    said = in_words("credentials-refused", "x", SINCE, SINCE + 50 * HOUR, "Europe/Berlin")
    assert said == "Your provider refuses the password since Tuesday 14:02."


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "a\x00b", "."])
def test_without_a_zone_it_is_utc_and_says_so(zone: str) -> None:
    said = in_words("registrar-unreachable", "The PBX does not answer.", SINCE, SINCE + HOUR, zone)
    assert said == "Your provider cannot be reached since Tuesday 13:02 UTC. The PBX does not answer."


def test_what_is_older_than_a_week_has_a_date() -> None:
    said = in_words("account-unknown", "x", SINCE, SINCE + 7 * 24 * HOUR, "America/New_York")
    assert said == "Your provider does not know this account since 2026-11-24 08:02."


def test_a_clock_that_was_set_back_names_the_date() -> None:
    assert "since 2026-11-24 13:02 UTC" in in_words("registrar-busy", "x", SINCE, SINCE - HOUR)


def test_what_has_no_sentence_of_its_own_is_said_as_it_is() -> None:
    assert in_words("one-contact", "The PBX keeps one.", SINCE, SINCE) == "The PBX keeps one."
    assert in_words("credentials-refused", "It refuses.", 0, SINCE) == "It refuses."
