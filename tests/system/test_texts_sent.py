"""Texts on their way: from the option of an app through the courier to Apple."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.system.couriers import running_world
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType
from wakerobin.core.tokens import TokenKeys
from wakerobin.ports.options import AppOptions, Options
from wakerobin.server.building import Ground, build
from wakerobin.services.courier import Courier
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.pns import FakePns
from wakerobin.texts import Catalogues


async def alert_of(folder: Path, app: AppOptions, locale: str) -> object:
    async with FakePns(folder) as pns, running_world(pns) as world:
        world.running.cancel()
        await asyncio.wait([world.running])
        courier = Courier(
            store=world.store,
            clock=world.clock,
            timers=world.clock,
            texts=Catalogues.of_apps({"phone": app}),
            services=lambda _app, _provider: world.service,
            lives=world.lives,
            entropy=os.urandom,
        )
        world.running = asyncio.ensure_future(courier.run())
        registration = await world.enrol(display_name="Alice \u202eat work", locale=locale)
        await world.decide(registration, PushType.EXPIRED)
        (push,) = await world.pushed()
        return push.payload["aps"]["alert"]


async def test_an_app_that_has_its_own_texts_is_sent_keys(tmp_path: Path) -> None:
    assert await alert_of(tmp_path, AppOptions(texts="loc-keys"), "pl") == {
        "title-loc-key": "sip_push_expired_title",
        "title-loc-args": ["Alice at work"],
        "loc-key": "sip_push_expired_body",
        "loc-args": ["Alice at work"],
    }


async def test_an_app_with_a_folder_is_sent_the_words_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "pl.toml").write_text('[expired]\ntitle = "Acme"\nbody = "Cześć, {account}!"\n', "utf-8")
    alert = await alert_of(tmp_path, AppOptions(texts=str(folder)), "pl-PL")
    assert alert == {"title": "Acme", "body": "Cześć, Alice at work!"}


def test_a_server_with_a_broken_folder_of_texts_is_not_built(tmp_path: Path) -> None:
    clock = ManualClock()
    ground = Ground(
        options=Options(apps={"acme": AppOptions(texts=str(tmp_path / "nowhere"))}),
        store=MemoryStore(),
        clock=clock,
        timers=clock,
        entropy=os.urandom,
        key=b"k" * 32,
        keys=TokenKeys(b"k" * 32),
    )
    with pytest.raises(ConfigurationError, match=r"apps\.acme\.texts: .*nowhere: cannot be read"):
        build(ground)
