"""The metrics: whatever is shown is measured somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from wakerobin import metrics

SOURCES = Path(metrics.__file__).parent
NAMES = sorted(name for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase))


@pytest.fixture(scope="module")
def written() -> str:
    others = (path for path in SOURCES.rglob("*.py") if path != Path(metrics.__file__))
    return "\n".join(path.read_text(encoding="utf-8") for path in others)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_fed_by_some_room(name: str, written: str) -> None:
    assert re.search(rf"\b{name}\b", written), f"{name} is shown and documented, and nothing measures it"
