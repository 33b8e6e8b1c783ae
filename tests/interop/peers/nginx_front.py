"""nginx, as an operator puts it in front of a server or a push service."""

from __future__ import annotations

import asyncio

from tests.interop.peers.network import Program, find_program, shortened

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr info;
events {{}}
http {{
    access_log /dev/stdout;
    default_type application/octet-stream;
    types {{ text/html html; text/javascript js; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


class NginxFront:
    """Runs with the `server` blocks that it is given; `place` is where one of them listens."""

    name = "nginx"

    def __init__(self, servers: str, place: tuple[str, int]) -> None:
        self._servers = servers
        self._place = place
        self._program = Program(self.name)

    async def start(self) -> None:
        """Start it; return when it listens."""
        file = self._program.folder / "nginx.conf"
        file.write_text(_CONFIGURATION.format(folder=self._program.folder, servers=self._servers))
        command = [find_program("nginx"), "-e", "stderr", "-p", str(self._program.folder), "-c", str(file)]
        await self._program.start(command)

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection(*self._place)
            except OSError:
                return False
            writer.close()
            await writer.wait_closed()
            return True

        async with asyncio.timeout(10):
            while not await listens():
                if not self._program.is_running:
                    raise RuntimeError(f"nginx did not start:\n{self.log_text()}")
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """Every request and error."""
        return shortened(self._program.output())
