"""The lines of a file of accounts: CSV with a header, each line an enrolment as JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wakerobin.cli.failures import Misconfigured

TEXTS = (
    *("app", "aor", "auth_user", "display_name", "registrar", "outbound_proxy", "transport"),
    *("installation_id", "platform", "locale", "time_zone"),
)
COLUMNS = (
    *TEXTS,
    *("password", "ha1", "realm", "algorithm"),
    *("provider", "token", "notice_token", "token_kind", "endpoint", "p256dh", "auth"),
    "lifetime_s",
)
NEEDED = ("app", "aor", "provider")

Line = dict[str, Any]


def read_lines(path: Path) -> Iterator[tuple[int, Line | str, int]]:
    """Read a file: (line number, enrolment or what is wrong with it, octets read so far).

    Raises Misconfigured where the file as a whole cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            octets = _Counted(file)
            reader = csv.DictReader(octets)
            _expect_columns(path, reader.fieldnames)
            for row in reader:
                yield reader.line_num, _line(row), octets.read
    except UnicodeDecodeError:
        raise Misconfigured(f"{path} is no UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise Misconfigured(f"{path} is no CSV: {error}") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from None


class _Counted:
    """The lines of a file, and how far it was read: what a progress bar shows."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.read += len(line.encode())
            yield line


def _expect_columns(path: Path, names: object) -> None:
    found = list(names) if isinstance(names, list | tuple) else []
    for name in NEEDED:
        if name not in found:
            raise Misconfigured(f"{path} has no column {name}; its first line names the columns")
    for name in found:
        if name not in COLUMNS:
            raise Misconfigured(f"{path} has a column {name!r}; known are {', '.join(COLUMNS)}")


def _line(row: dict[str | None, Any]) -> Line | str:
    if None in row:
        return "has more fields than the first line names"
    given = {str(name): str(value).strip() for name, value in row.items() if value and str(value).strip()}
    line: Line = {name: given[name] for name in TEXTS if name in given}
    line["credentials"] = _credentials(given)
    line["targets"] = _targets(given)
    if "lifetime_s" in given:
        if not given["lifetime_s"].isdecimal():
            return "lifetime_s: must be a number of seconds"
        line["lifetime_s"] = int(given["lifetime_s"])
    return line


def _credentials(given: dict[str, str]) -> Line:
    if "ha1" not in given:
        return {"password": given.get("password", "")}
    realm, algorithm = given.get("realm", ""), given.get("algorithm", "MD5")
    return {"ha1": [{"realm": realm, "algorithm": algorithm, "value": given["ha1"]}]}


def _targets(given: dict[str, str]) -> list[Line]:
    names = ("provider", "token", "token_kind", "endpoint", "p256dh", "auth")
    first: Line = {name: given[name] for name in names if name in given}
    if "notice_token" not in given:
        return [{**first, "purposes": ["call", "notice"]}]
    return [
        {**first, "purposes": ["call"]},
        {"provider": given["provider"], "token": given["notice_token"], "purposes": ["notice"]},
    ]
