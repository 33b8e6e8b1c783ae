"""The parts of the documents that are made from the code, so that they cannot lag behind it.

In a page they stand between `<!-- made from the code: NAME -->` and `<!-- end -->`. After a change of the
code `python -m tests.docs.generated` writes them anew; a test compares.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from fastapi.routing import APIRoute
from prometheus_client import Counter, Gauge, Histogram

from tests.docs import payloads, privacy
from wakerobin import metrics
from wakerobin.cli.commands import wakerobin_command
from wakerobin.core import story
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.core.values import Duration, Secret
from wakerobin.ports.options import Options
from wakerobin.push.webpush import verdicts
from wakerobin.simulation.model import Model, described
from wakerobin.texts.entries import PLACEHOLDERS, WORDS, every_table
from wakerobin.texts.languages import ENGLISH, canonical
from wakerobin.texts.loc_keys import every_key, every_private_key
from wakerobin.texts.plurals import OTHER
from wakerobin.texts.reading import read_folder
from wakerobin.web.api import apps, calls, enrolment, handover, receipts, registrations, selftests
from wakerobin.web.problems import CATALOGUE

ROOT = Path(__file__).parents[2]
CATALOGUES = ROOT / "src" / "wakerobin" / "texts" / "catalogues"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"(<!-- made from the code: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))


def made_anew(page: str) -> str:
    """Return a page with every part made anew. Raises KeyError for a part that nothing makes."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{MAKERS[found[2]]().strip()}\n\n{found[3]}", page)


def parts_of(page: str) -> list[str]:
    """Return the names of the parts of a page."""
    return [found[2] for found in _BLOCK.finditer(page)]


def options() -> str:
    """Return a table for each table of `wakerobin.toml`."""
    return "\n\n".join(_table_of_options(name, record) for name, record in option_records())


def option_records() -> Iterator[tuple[str, type]]:
    """Yield each table of the configuration with its record: `sip`, …, `apps.NAME`, `apps.NAME.lifetime`."""
    for field, hint in _fields(Options):
        if typing.get_origin(hint) is dict:
            app = typing.get_args(hint)[1]
            yield f"{field.name}.NAME", app
            for inner, inner_hint in _fields(app):
                if dataclasses.is_dataclass(inner_hint):
                    yield f"{field.name}.NAME.{inner.name}", typing.cast("type", inner_hint)
        else:
            yield field.name, typing.cast("type", hint)


def option_keys() -> set[str]:
    """Return every option with its table: `sip.listen`."""
    return {
        f"{name}.{field.name}"
        for name, record in option_records()
        for field, hint in _fields(record)
        if not dataclasses.is_dataclass(hint)
    }


def metric_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield name, kind, labels and meaning of every metric."""
    for collector in vars(metrics).values():
        if not isinstance(collector, Counter | Gauge | Histogram):
            continue
        # The library tells names and kinds in public and the labels only here.
        labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames"))  # noqa: B009
        for family in collector.describe():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, labels, family.documentation


def metrics_table() -> str:
    """Return a table of the metrics."""
    return _table(
        ("metric", "kind", "labels", "meaning"),
        ((f"`{name}`", kind, labels, text) for name, kind, labels, text in sorted(metric_rows())),
    )


def events_table() -> str:
    """Return a table of the events of timelines, with the sentence of one without details."""
    return _table(
        ("event", "reads"), ((f"`{event}`", story.words(event, {})) for event in sorted(story.EVENTS))
    )


def problems_table() -> str:
    """Return a table of the problems of the API."""
    rows = (
        (str(kind.status), f"`{name}`", f"`{kind.action}`", kind.title) for name, kind in CATALOGUE.items()
    )
    return _table(("status", "problem", "action", "says"), rows)


def routes_table() -> str:
    """Return a table of what the API answers to."""
    rows = []
    for router in (
        apps.router,
        enrolment.router,
        registrations.router,
        handover.router,
        selftests.router,
        receipts.router,
        calls.router,
    ):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            rows += [
                (f"`{method} {route.path}`", route.summary or "") for method in sorted(route.methods or ())
            ]
    return _table(("request", "what it does"), rows)


def assumptions_table() -> str:
    """Return a table of what the simulation assumes."""
    rows = []
    for name, one in described(Model()).items():
        value = one["value"]
        if isinstance(value, list) and isinstance(value[0], dict):
            value = "<br>".join(", ".join(f"{key} {part}" for key, part in kind.items()) for kind in value)
        elif isinstance(value, list):
            value = " to ".join(map(str, value))
        rows.append((f"`{name}`", str(value), one["says"], one["source"]))
    return _table(("name", "value", "says", "source"), rows)


def languages_table() -> str:
    """Return a table of the shipped catalogues."""
    catalogues = read_folder(CATALOGUES)
    rows = []
    for file in sorted(CATALOGUES.glob("*.toml")):
        entries = catalogues[canonical(file.stem)].entries
        forms = [form for form in entries[PushType.MISSED_CALL.value].forms if form != OTHER]
        rows.append(
            (f"`{file.stem}`", entries[PushType.CALL.value].title, ", ".join(f"`body_{f}`" for f in forms))
        )
    return _table(("language", "an incoming call is called", "forms of a count beside `body`"), rows)


def texts_table() -> str:
    """Return a table of the English texts."""
    entries = read_folder(CATALOGUES)[ENGLISH].entries
    rows = []
    for name, type_ in every_table():
        entry = entries[name]
        placeholders = ", ".join(f"`{{{one}}}`" for one in PLACEHOLDERS[type_])
        rows.append((f"`{name}`", entry.title, entry.forms[OTHER], placeholders))
    return _table(("table", "title", "body", "may name"), rows)


def words_table() -> str:
    """Return a table of the words beside the tables of the English catalogue."""
    words = read_folder(CATALOGUES)[ENGLISH].words
    rows = (
        (f"`{name}`", words[name], ", ".join(f"`{{{one}}}`" for one in names))
        for name, names in WORDS.items()
    )
    return _table(("key", "English", "must have"), rows)


def loc_keys_table() -> str:
    """Return a table of the keys that an app's own string table must have."""
    rows = (
        (f"`{key}`", ", ".join(f"`%{number}$@` {name}" for number, name in enumerate(names, 1)))
        for key, names in every_key()
    )
    return _table(("key", "arguments"), rows)


def private_loc_keys_table() -> str:
    """Return a list of the keys of texts that name nobody."""
    return ", ".join(f"`{key}`" for key in every_private_key())


def commands() -> str:
    """Return a section for each command."""
    return "\n\n".join(_command(path, command) for path, command in every_command(wakerobin_command))


def every_command(group: click.Command, path: str = "wakerobin") -> Iterator[tuple[str, click.Command]]:
    """Yield each command that does something, with the words that call it."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    for name, command in sorted(group.commands.items()):
        yield from every_command(command, f"{path} {name}")


def _command(path: str, command: click.Command) -> str:
    usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=path)))
    tables: dict[str, None] = {}
    rows = []
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        flag = parameter.opts[0]
        table, _, _key = flag.removeprefix("--").partition("-")
        if table in _TABLES:
            tables[table] = None
            continue
        value = "" if parameter.is_flag else f" {parameter.metavar or 'N'}"
        rows.append((f"`{flag}{value}`", (parameter.help or "").strip()))
    text = " ".join((command.help or "").split())
    lines = [f"### `{path}`", "", f"`{path} {usage}`", "", text]
    if tables:
        listed = ", ".join(f"`[{table}]`" for table in tables)
        lines += ["", f"Every option of {listed} is a flag too."]
    if rows:
        lines += ["", _table(("flag", "meaning"), rows)]
    return "\n".join(lines)


def _table_of_options(name: str, record: type) -> str:
    head, _, rest = (record.__doc__ or "").partition(": ")
    meaning = (rest or head).strip()
    rows = (
        (f"`{field.name}`", _default(field, hint), field.metadata["help"])
        for field, hint in _fields(record)
        if not dataclasses.is_dataclass(hint)
    )
    table = _table(("key", "default", "meaning"), rows)
    return f"### `[{name}]`\n\n{meaning[0].upper()}{meaning[1:]}\n\n{table}"


def _fields(record: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        yield field, _without_none(hints[field.name])


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _default(field: dataclasses.Field[Any], hint: Any) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "`{}`"
    return f"`{toml_of(field.default, hint)}`"


def toml_of(value: Any, hint: Any) -> str:
    """Return a value as it stands in `wakerobin.toml`."""
    if hint is Duration:
        return f'"{duration_of(value)}"'
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return f"[{', '.join(toml_of(one, item) for one in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Secret):
        return f'"{value.reveal()}"'
    return f'"{value}"' if isinstance(value, str) else str(value)


def duration_of(milliseconds: int) -> str:
    """Return a duration as the configuration takes it: `7d`, `12h`, `250ms`; a day stays `24h`."""
    for unit, size in _UNITS:
        if milliseconds and milliseconds % size == 0 and (unit != "d" or milliseconds > size * 2):
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


_TABLES = frozenset(name for name, _ in option_records())


def webpush_answers_table() -> str:
    """Return what the answers of Web Push services mean."""
    rows = (
        (
            str(status),
            f"`{said}`" if said else "",
            _meaning(verdict.make(verdicts.Facts(status, ""))),
            verdict.why,
        )
        for (status, said), verdict in sorted(verdicts.VERDICTS.items())
    )
    return _table(("status", "with", "is", "because"), rows)


def _meaning(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "accepted"
        case TargetGone(certain=certain):
            return "gone" if certain else "suspect"
        case Rejected(ours=ours):
            return "our fault" if ours else "dropped"
        case Throttled() | Unavailable():
            return "tried again"


MAKERS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "problems": problems_table,
    "routes": routes_table,
    "options": options,
    "metrics": metrics_table,
    "assumptions": assumptions_table,
    "events": events_table,
    "languages": languages_table,
    "texts": texts_table,
    "loc-keys": loc_keys_table,
    "private-loc-keys": private_loc_keys_table,
    "words": words_table,
    "payloads": payloads.payloads,
    "payload-table": payloads.payload_table,
    "payload-encrypted": payloads.encrypted_payload,
    "pushed-fields": privacy.pushed_fields,
    "webpush-answers": webpush_answers_table,
}


def main() -> int:
    """Write every part of every page anew."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = made_anew(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
