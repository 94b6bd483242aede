"""A team of three: its leader gives each task to the member who can do it.

Serve it: musterd dev team.py
"""

import os

from musterd import Agent, Team, tool

# "scripted" is built in and needs no account. A team delegates by the words of a message. An agent calls the tool that
# fits the message best, which must have its arguments ("in Oslo", "to Anna"); otherwise it repeats the message.
# "[[WORDS 300 100]]" makes it write for half a minute: restart the server meanwhile, and the run goes on.
MODEL = os.environ.get("MODEL", "scripted")


@tool(retry_safe=True)  # it only reads, so a call that a crash cuts off may be repeated
def get_weather(city: str) -> str:
    """Current weather in a city.

    Args:
        city: Name of the city.
    """
    return f"Sunny in {city}, 21 degrees"


@tool(requires_confirmation=True)  # a person approves each call first
def send_postcard(recipient: str) -> str:
    """Send a postcard.

    Args:
        recipient: Who gets it.
    """
    return f"A postcard is on its way to {recipient}"


weather = Agent(id="weather", role="Knows the weather", model=MODEL, tools=[get_weather])
writer = Agent(id="writer", role="Writes short texts and poems", model=MODEL)
post = Agent(id="post", role="Sends postcards", model=MODEL, tools=[send_postcard])

desk = Team(
    id="desk",
    name="News desk",
    model=MODEL,
    members=[weather, writer, post],
    instructions="Give each task to the member who can do it, and keep every fact of the replies.",
)
