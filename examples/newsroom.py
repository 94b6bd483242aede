"""A news desk: a leader with three members. Its tools need no network and always answer the same.

    .venv/bin/musterd serve examples/newsroom.py

The model is the embedded one; MUSTERD_EXAMPLE_MODEL=openai:gpt-5-mini (or any other, or scripted) changes it.
"""

import os

from musterd import Agent, Team, tool

MODEL = os.environ.get("MUSTERD_EXAMPLE_MODEL", "local")

WEATHER = {
    "cairo": "34 degrees, clear sky, wind 10 km/h",
    "london": "14 degrees, cloudy, wind 20 km/h",
    "oslo": "3 degrees, light snow, wind 5 km/h",
    "paris": "18 degrees, light rain, wind 12 km/h",
    "rome": "24 degrees, sunny, wind 8 km/h",
    "tokyo": "21 degrees, thunderstorm, wind 30 km/h",
}
CALENDAR = {
    "monday": "10:00 editors' meeting",
    "tuesday": "15:00 interview with the mayor",
    "wednesday": "nothing planned",
    "thursday": "09:00 visit to the harbour, 20:00 concert in the old town",
    "friday": "11:00 press conference at the town hall",
    "saturday": "12:00 street market",
    "sunday": "nothing planned",
}


@tool(retry_safe=True)
def get_weather(city: str) -> str:
    """Current weather in a city.

    Args:
        city: Name of the city.
    """
    now = WEATHER.get(city.split(",")[0].strip().lower())
    return f"{city}: {now}" if now else f"No weather station in {city}."


@tool(retry_safe=True)
def get_events(day: str) -> str:
    """What is on the calendar on a day of this week.

    Args:
        day: Name of the day, such as Monday.
    """
    events = CALENDAR.get(day.strip().lower())
    return f"{day}: {events}" if events else f"{day} is not a day of the week."


weather = Agent(id="weather-agent", name="Weather Agent", role="Knows the weather", model=MODEL, tools=[get_weather])
calendar = Agent(
    id="calendar-agent", name="Calendar Agent", role="Knows what is on which day", model=MODEL, tools=[get_events]
)
writer = Agent(id="writer-agent", name="Writer Agent", role="Writes short texts", model=MODEL)

desk = Team(
    id="desk",
    name="News desk",
    description="Answers the newsroom's questions and writes its short texts.",
    mode="coordinate",
    model=MODEL,
    members=[weather, calendar, writer],
    instructions="Give each question to the member who knows, and keep every fact of the replies.",
)
