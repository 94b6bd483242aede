"""musterd's application: a team with a leader, a member with a tool and a member without. See bench/peer/app.py."""

from musterd import Agent, Team, tool


@tool(retry_safe=True)
def get_weather(city: str) -> str:
    """Current weather in a city.

    Args:
        city: Name of the city.
    """
    return f"Sunny in {city}"


MODEL = "openai-chat:fake-model"

weather = Agent(id="weather-agent", name="Weather Agent", role="Knows the weather", model=MODEL, tools=[get_weather])
writer = Agent(id="writer-agent", name="Writer Agent", role="Writes short texts", model=MODEL)
team = Team(id="demo-team", name="Demo Team", model=MODEL, members=[weather, writer], instructions=["Be brief"])
