"""The phones' side: their REGISTERs, their flows, and the Record-Routes that lead to them."""

from wakerobin.services.phones.registry import Phones

__all__ = ["Phones"]
