"""A fleet of modelled phones over virtual days, with the real decisions of lives and deliveries."""

from wakerobin.simulation.fleet import Plan, Platforms, Tallies, simulate
from wakerobin.simulation.model import Model
from wakerobin.simulation.picture import picture
from wakerobin.simulation.report import report, table

__all__ = ["Model", "Plan", "Platforms", "Tallies", "picture", "report", "simulate", "table"]
