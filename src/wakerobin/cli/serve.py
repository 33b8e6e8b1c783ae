"""`wakerobin serve`."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from typing import TYPE_CHECKING

import click

from wakerobin import log
from wakerobin.cli.announcement import announcement
from wakerobin.cli.failures import Misconfigured
from wakerobin.cli.flags import Configured, configured
from wakerobin.core.errors import ConfigurationError

if TYPE_CHECKING:
    from wakerobin.server import Server


@click.command()
@configured("sip", "http", "store", "log")
def serve(configuration: Configured) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    Without any configuration it runs, and says what is off and how to turn it on.
    """
    from wakerobin.server import Folders, Server  # a second of imports that the other commands do not need

    options = configuration.options
    _raise_file_limit()
    log.configure(options.log.level, options.log.format)

    def ready(server: Server) -> None:
        for line in announcement(configuration, server):
            click.echo(line)

    server = Server(options, Folders.of(options.store, os.environ), on_ready=ready)
    try:
        asyncio.run(_run(server))
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None
    except BaseExceptionGroup as group:
        found = _first(group)
        if found is None:
            raise
        raise Misconfigured(str(found)) from None


def _raise_file_limit() -> None:
    """Take as many file descriptors as are allowed: each phone on TCP and each waiting request needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run(server: Server) -> None:
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    is_asked = False

    def stop() -> None:
        nonlocal is_asked
        if is_asked:
            running.cancel()  # asked twice: whatever it waits for is not worth it
        is_asked = True
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.run()


def _first(group: BaseExceptionGroup[BaseException]) -> ConfigurationError | None:
    for one in group.exceptions:
        if isinstance(one, ConfigurationError):
            return one
        if isinstance(one, BaseExceptionGroup) and (found := _first(one)) is not None:
            return found
    return None
