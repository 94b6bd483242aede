"""Tools and answers that several test applications share."""

from pydantic import BaseModel

from musterd import ToolContext, tool


class Person(BaseModel):
    """Somebody, as a team may be told to answer."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city.

    Args:
        city: Name of the city.
    """
    return f"Sunny in {city}"


@tool
def boom(x: str) -> str:
    """Fail."""
    raise RuntimeError(f"boom {x}")


@tool
def remember(key: str, value: str, context: ToolContext) -> str:
    """Keep a value in the session's state."""
    context.session_state[key] = value
    return f"{key} is {value}"
