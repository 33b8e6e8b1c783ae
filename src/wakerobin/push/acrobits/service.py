"""Pushes to apps of the Acrobits family, which are in the stores and know nothing of us."""

from __future__ import annotations

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.ports.options import AcrobitsOptions
from wakerobin.push.acrobits.letter import write
from wakerobin.push.acrobits.verdicts import judge
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.place import Place
from wakerobin.push.posting import PostingService
from wakerobin.push.reporting import line_reporter


def acrobits_service(
    options: AcrobitsOptions,
    around: Surroundings,
    policy: DestinationPolicy,
    *,
    pool: PoolOptions | None = None,
    key: str = "acrobits",
) -> PostingService:
    """Make the service of the setting group `key`. Raises ConfigurationError for what cannot be used."""
    place = Place.from_url(options.url, options.ca_file, policy, f"{key}.url")
    return PostingService(place, around, write, judge, pool=pool, on_line=line_reporter("acrobits", key))
