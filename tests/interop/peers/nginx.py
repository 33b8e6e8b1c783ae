"""nginx: an HTTP server that is not ours, with genuine GOAWAYs and low limits, as the far end of a push."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.interop.peers.network import PATIENCE, Program, find_program, shortened, until

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  log_format push '$connection $request_method $status $http_apns_id $request_uri';
  access_log {log};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  ssl_certificate {chain};
  ssl_certificate_key {key};
  keepalive_requests {requests};
  keepalive_timeout {idle}s;
  http2_max_concurrent_streams {streams};
  add_header apns-id $http_apns_id;
  server {{
    listen {ip}:{port} ssl http2;
    listen {ip}:{port_1} ssl;
    listen {ip}:{port_2};
    location / {{ return 200; }}
    location /refused {{ return 307 http://169.254.169.254/; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """One line of its log."""

    connection: int
    method: str
    status: int
    id: str
    path: str


class Nginx:
    """Answers every POST with 200: HTTP/2 on `port`, HTTP/1.1 on the next with TLS, after that without.

    `chain` and `key` are PEM files.
    """

    name = "nginx"

    def __init__(
        self,
        ip: str,
        port: int,
        chain: Path,
        key: Path,
        *,
        requests: int = 1000,
        streams: int = 128,
        idle: int = 75,
        has_log: bool = True,
    ) -> None:
        self.ip, self.port = ip, port
        self._program = Program(self.name)
        self._log = self._program.folder / "access"
        self._values = {
            "folder": self._program.folder,
            "log": f"{self._log} push" if has_log else "off",
            "chain": chain,
            "key": key,
            "ip": ip,
            "port": port,
            "port_1": port + 1,
            "port_2": port + 2,
            "requests": requests,
            "streams": streams,
            "idle": idle,
        }

    async def start(self) -> None:
        """Start it; return when it listens."""
        file = self._program.folder / "nginx.conf"
        file.write_text(_CONFIGURATION.format(**self._values))
        await self._program.start(
            [find_program("nginx"), "-p", str(self._program.folder), "-c", str(file), "-e", "stderr"]
        )
        await until(self._listens, what="nginx listens")

    @property
    def pids(self) -> list[int]:
        """Its processes: the master, and the one that works."""
        master = int((self._program.folder / "pid").read_text())
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def _listens(self) -> bool:
        if not self._program.is_running:
            raise RuntimeError(f"nginx did not start:\n{self.log_text()}")
        return Path(self._program.folder / "pid").exists()

    def served(self) -> list[Served]:
        """The requests so far."""
        lines = (line.split(" ", 4) for line in self._log.read_text().splitlines())
        return [Served(int(a), method, int(status), id_, path) for a, method, status, id_, path in lines]

    async def wait_served(self, count: int, within: float = PATIENCE) -> list[Served]:
        """The requests, once `count` of them are in the log."""

        def look() -> list[Served] | None:
            served = self.served()
            return served if len(served) >= count else None

        return await until(look, within=within, what=f"{count} requests at nginx")

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """What it warned of."""
        return shortened(self._program.output())
