"""The words that users read: catalogues, one TOML file a language, and an app's own on top of them."""

from wakerobin.texts.catalogues import Catalogues

__all__ = ["Catalogues"]
