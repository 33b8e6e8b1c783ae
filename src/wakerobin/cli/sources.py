"""Where the commands read: a running server over its socket, else the store itself."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote, urlencode

from wakerobin.cli.failures import Failure, Misconfigured, Nobody
from wakerobin.core.errors import ConfigurationError, StoreUnavailableError
from wakerobin.ports.options import Options

Json: TypeAlias = dict[str, Any]

PATIENCE_S = 30
_OTHER_VERSION = "the server that runs is of another version; use its own command line"


class Source(Protocol):
    """What the commands ask. None and False: there is none with this id."""

    def registrations(self, after: int, limit: int, aor: str) -> Json:
        """Return a page of push registrations; `next` is where the following one begins, 0 for none."""
        ...

    def registration(self, public_id: str) -> Json | None:
        """Return one push registration."""
        ...

    def registration_timeline(self, public_id: str) -> Json | None:
        """Return what happened to it."""
        ...

    def end(self, public_id: str) -> bool:
        """End it."""
        ...

    def extend(self, public_id: str, by_s: int) -> Json | None:
        """Let it live for so many seconds from now."""
        ...

    def warn(self, public_id: str) -> Json | None:
        """Warn its user now."""
        ...

    def statistics(self, days: int) -> Json:
        """Return what became of lives in the last days."""
        ...

    def alarms(self) -> Json:
        """Return what a person has to mend."""
        ...

    def confirm_clock(self) -> bool:
        """Believe the clock; False: it was not in doubt."""
        ...

    def test_push(self, public_id: str, test_id: str = "") -> Json | None:
        """Send a test push to a phone, or tell what became of one."""
        ...

    def check_push(self, app: str) -> Json:
        """Ask the push services of an app, or of all (`""`), whether they take us."""
        ...

    def import_lines(self, lines: list[Json]) -> list[dict[str, str]]:
        """Take in accounts and return what became of each."""
        ...

    def calls(self, limit: int) -> Json:
        """Return the newest calls."""
        ...

    def call(self, call_id: str) -> Json | None:
        """Return a call and what happened to it."""
        ...

    def guests(self, limit: int, aor: str) -> Json:
        """Return phones that never enrolled."""
        ...

    def guest(self, id_: str) -> Json | None:
        """Return one of them and what happened to it."""
        ...


@contextlib.contextmanager
def source(options: Options) -> Iterator[Source]:
    """Open the server's socket, or where no server runs its store. Raises Failure where neither is there."""
    from wakerobin.server import Folders

    folders = Folders.of(options.store, os.environ)
    if _answers(folders.socket):
        yield Running(folders.socket)
        return
    database = folders.data / options.store.url.removeprefix("sqlite:")
    if not database.exists():
        raise Nobody(
            f"no server answers at {folders.socket}, and there is no database {database}; "
            "name the folder with --store-data-dir"
        )
    with _stored(options) as stored:
        yield stored


class Running:
    """A server that runs, over the socket in its data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def registrations(self, after: int, limit: int, aor: str) -> Json:
        """See `Source`."""
        query = urlencode({"after": after, "limit": limit, "aor": aor})
        return self._expect(f"/v1/admin/registrations?{query}")

    def registration(self, public_id: str) -> Json | None:
        """See `Source`."""
        return self._get(f"/v1/admin/registrations/{quote(public_id, safe='')}")

    def registration_timeline(self, public_id: str) -> Json | None:
        """See `Source`."""
        return self._get(f"/v1/admin/registrations/{quote(public_id, safe='')}/timeline")

    def end(self, public_id: str) -> bool:
        """See `Source`."""
        status, _ = self._request("DELETE", f"/v1/admin/registrations/{quote(public_id, safe='')}")
        return status == 202

    def extend(self, public_id: str, by_s: int) -> Json | None:
        """See `Source`."""
        return self._post(f"/v1/admin/registrations/{quote(public_id, safe='')}/extend", {"by_s": by_s})

    def warn(self, public_id: str) -> Json | None:
        """See `Source`."""
        return self._post(f"/v1/admin/registrations/{quote(public_id, safe='')}/warn", {})

    def statistics(self, days: int) -> Json:
        """See `Source`."""
        return self._expect(f"/v1/admin/statistics?{urlencode({'days': days})}")

    def alarms(self) -> Json:
        """See `Source`."""
        return self._expect("/v1/admin/alarms")

    def confirm_clock(self) -> bool:
        """See `Source`."""
        found = self._post("/v1/admin/clock/confirm", {})
        if found is None:
            raise Failure(_OTHER_VERSION)
        return bool(found["was_in_doubt"])

    def test_push(self, public_id: str, test_id: str = "") -> Json | None:
        """See `Source`."""
        path = f"/v1/admin/registrations/{quote(public_id, safe='')}/tests"
        return self._get(f"{path}/{quote(test_id, safe='')}") if test_id else self._post(path, {})

    def check_push(self, app: str) -> Json:
        """See `Source`."""
        found = self._post(f"/v1/admin/push/check?{urlencode({'app': app})}", {})
        if found is None:
            raise Failure(_OTHER_VERSION)
        return found

    def import_lines(self, lines: list[Json]) -> list[dict[str, str]]:
        """See `Source`."""
        found = self._post("/v1/admin/accounts/import", {"lines": lines})
        if found is None:
            raise Failure(_OTHER_VERSION)
        results: list[dict[str, str]] = found["lines"]
        return results

    def calls(self, limit: int) -> Json:
        """See `Source`."""
        return self._expect(f"/v1/admin/calls?{urlencode({'limit': limit})}")

    def call(self, call_id: str) -> Json | None:
        """See `Source`."""
        return self._get(f"/v1/admin/calls/{quote(call_id, safe='')}")

    def guests(self, limit: int, aor: str) -> Json:
        """See `Source`."""
        return self._expect(f"/v1/admin/guests?{urlencode({'limit': limit, 'aor': aor})}")

    def guest(self, id_: str) -> Json | None:
        """See `Source`."""
        return self._get(f"/v1/admin/guests/{quote(id_, safe='')}")

    def _expect(self, path: str) -> Json:
        found = self._get(path)
        if found is None:
            raise Failure(_OTHER_VERSION)
        return found

    def _get(self, path: str) -> Json | None:
        status, body = self._request("GET", path)
        return body if status == 200 else None

    def _post(self, path: str, body: Json) -> Json | None:
        status, answer = self._request("POST", path, json.dumps(body))
        return answer if status == 200 else None

    def _request(self, method: str, path: str, content: str | None = None) -> tuple[int, Json]:
        connection = _UnixConnection(self._path)
        try:
            headers = {"Content-Type": "application/json"} if content is not None else {}
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            text = response.read()
            body: Json = json.loads(text) if text else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Nobody(f"the server at {self._path} does not answer: {error}") from None
        finally:
            connection.close()
        if response.status not in (200, 202, 404):
            raise Failure(f"{body.get('title', 'The server failed.')} {body.get('detail', '')}")
        return response.status, body


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        with _socket_name(self._path) as name:
            self.sock.connect(name)


def _socket_name(path: Path) -> contextlib.AbstractContextManager[str]:
    from wakerobin.server import socket_name

    return socket_name(path)


def _answers(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(PATIENCE_S)
        try:
            with _socket_name(path) as name:
                probe.connect(name)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _stored(options: Options) -> Iterator[Source]:
    from wakerobin.cli.stored import Stored

    with asyncio.Runner() as runner:
        try:
            stored = Stored(options, os.environ, runner)
        except ConfigurationError as error:
            raise Misconfigured(str(error)) from None
        try:
            yield stored
        except ConfigurationError as error:  # of what a server would make of it, such as its push services
            raise Misconfigured(str(error)) from None
        except StoreUnavailableError as error:
            raise Failure(str(error)) from None
        finally:
            stored.close()
