"""A team of two: its leader gives each question to the member who knows.

Serve it: musterd dev team.py
"""

import os

from musterd import Agent, Team, tool

# "scripted" is built in and needs no account: it delegates by the words of a message, and repeats the rest.
MODEL = os.environ.get("MODEL", "scripted")


@tool(retry_safe=True)  # it only reads, so a call that a crash cuts off may be repeated
def get_weather(city: str) -> str:
    """Current weather in a city.

    Args:
        city: Name of the city.
    """
    return f"Sunny in {city}, 21 degrees"


weather = Agent(id="weather", role="Knows the weather", model=MODEL, tools=[get_weather])
writer = Agent(id="writer", role="Writes short texts and poems", model=MODEL)

desk = Team(
    id="desk",
    name="News desk",
    model=MODEL,
    members=[weather, writer],
    instructions="Give each question to the member who knows, and keep every fact of the replies.",
)
