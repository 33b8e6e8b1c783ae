"""HTTP: the API of the apps, and that of the operator on a socket of this machine."""

from wakerobin.web.apps import make_admin, make_api
from wakerobin.web.context import WebContext

__all__ = ["WebContext", "make_admin", "make_api"]
