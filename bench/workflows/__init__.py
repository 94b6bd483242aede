"""Workflows of every kind, and a kill at each step. Each measurement returns its figures."""

from bench.measures import Measure
from bench.workflows import kills, shapes

WORKFLOWS: dict[str, Measure] = {
    "shapes": shapes.measure,
    "kills": kills.measure,
}
