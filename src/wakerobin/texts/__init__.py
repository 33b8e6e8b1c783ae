"""The words that users read: catalogues, one TOML file a language, and an app's own on top of them."""

from wakerobin.texts.catalogues import LOC_KEYS, Catalogues

__all__ = ["LOC_KEYS", "Catalogues"]
