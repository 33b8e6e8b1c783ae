"""The composition root: makes every room from the options, joins them, and runs them until told to stop."""

from wakerobin.server.folders import Folders, socket_name
from wakerobin.server.server import Server

__all__ = ["Folders", "Server", "socket_name"]
