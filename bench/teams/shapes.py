"""The teams of both applications, and the work of each."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.client import numbers
from bench.team_names import DEPTH, PLANNERS

TASKS = 10


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of team run: which team, what it is asked, how often, and what its end must show."""

    name: str
    team: str
    ours: int
    peer: int
    message: Callable[[], str]
    shows: str


def _trio() -> str:
    return "[[DELEGATE apples: number {n} || DELEGATE pears: number {n} || DELEGATE plums: number {n}]]".format(
        n=next(numbers)
    )


def _nested() -> str:
    inner = f"DELEGATE leaf: number {next(numbers)}"
    for level in range(DEPTH, 1, -1):
        inner = f"DELEGATE level-{level}: <{inner}>"
    return f"[[{inner}]]"


def _tasks() -> str:
    number = next(numbers)
    return " and ".join(f"check {PLANNERS[place % 2]} {number}.{place}" for place in range(TASKS))


SHAPES = (
    Shape(name="coordinate, 3 members", team="trio", ours=300, peer=160, message=_trio, shows="Done: Echo"),
    Shape(
        name="route",
        team="route",
        ours=480,
        peer=240,
        message=lambda: f"[[DELEGATE pears: number {next(numbers)}]]",
        shows="Echo: number",
    ),
    Shape(
        name="broadcast, 50 members",
        team="crowd",
        ours=40,
        peer=16,
        message=lambda: f"[[BROADCAST number {next(numbers)}]]",
        shows="Echo: number",
    ),
    Shape(name="nested, 5 deep", team="level-1", ours=200, peer=100, message=_nested, shows="Echo: number"),
    Shape(name="tasks, 10 tasks", team="planners", ours=60, peer=32, message=_tasks, shows="\n\nEcho: check"),
)
