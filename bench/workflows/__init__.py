"""Workflows of every kind, a kill at each step, and large outputs. Each measurement returns its figures."""

from bench.measures import Measure
from bench.workflows import kills, large, shapes

WORKFLOWS: dict[str, Measure] = {
    "shapes": shapes.measure,
    "kills": kills.measure,
    "large": large.measure,
}
