"""The members of the teams of both applications."""

TRIO = ("apples", "pears", "plums")
BROADCAST_MEMBERS = tuple(f"member-{number}" for number in range(50))
PLANNERS = ("apples", "pears")
DEPTH = 4
"""Teams around the agent: with it five levels."""
