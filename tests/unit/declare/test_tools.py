"""Functions as tools: what a model is told of them, how its arguments are read, and what cannot be a tool."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from musterd.core.errors import DeclarationError
from musterd.declare import Agent, RunContext, Team, Tool, ToolArgumentsInvalid, ToolContext, Toolkit, tool

if TYPE_CHECKING:
    from decimal import Decimal


class Unit(enum.Enum):
    CELSIUS = "c"
    KELVIN = "k"


class Place(BaseModel):
    """Where."""

    city: str
    zip: str | None = None


def context(**values: Any) -> ToolContext:
    known: dict[str, Any] = {field.name: field.name for field in dataclasses.fields(ToolContext)}
    known.update(session_state={}, dependencies={}, metadata={})
    return ToolContext(**{**known, **values})


@tool
def weather(city: str, days: int = 1, unit: Unit = Unit.CELSIUS) -> str:
    """Forecast the weather.

    Of any town.

    Args:
        city: The town's name,
            in English.
        days (int): How far to look.

    Returns:
        str: The forecast.
    """
    return f"{city} {days} {unit.value}"


def test_the_model_is_told_what_the_author_wrote() -> None:
    assert weather.name == "weather"
    assert weather.description == "Forecast the weather.\n\nOf any town."
    assert weather.parameters["required"] == ["city"]
    assert weather.parameters["additionalProperties"] is False
    described = weather.parameters["properties"]
    assert described["city"] == {"type": "string", "description": "The town's name, in English."}
    assert described["days"] == {"type": "integer", "default": 1, "description": "How far to look."}
    assert described["unit"]["default"] == "c"


def sphinx(city: str) -> None:
    """Go.

    :param city: A town.
    """


def numpy(city: str) -> None:
    """Go.

    Parameters
    ----------
    city : str
        A town.
    """


def annotated(city: Annotated[str, Field(description="A town.")]) -> None:
    """Go."""


@pytest.mark.parametrize("function", [sphinx, numpy, annotated])
def test_other_docstrings_and_hints_describe_parameters_too(function: Callable[..., Any]) -> None:
    new_tool = tool(function)
    assert new_tool.description == "Go."
    assert new_tool.parameters["properties"]["city"]["description"] == "A town."


def test_a_tool_is_still_the_function() -> None:
    assert weather("Rome", days=2) == "Rome 2 c"


def test_arguments_are_converted_and_the_call_is_bound() -> None:
    arguments = weather.validate({"city": "Rome", "days": "2", "unit": "k"})
    assert arguments == {"city": "Rome", "days": 2, "unit": Unit.KELVIN}
    assert weather.bind(arguments, context())() == "Rome 2 k"


def test_wrong_arguments_tell_the_model_what_to_send() -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        weather.validate({"town": "Rome", "cit": "x", "days": "two"})
    assert caught.value.message == (
        "Wrong arguments for weather. city: Field required; days: Input should be a valid integer, "
        "unable to parse string as an integer; town: unknown argument; "
        "cit: unknown argument (did you mean 'city'?). "
        "It takes 'city', 'days', 'unit' (required: 'city'). Correct them and call again."
    )


def test_pydantic_models_are_parameters() -> None:
    @tool
    def visit(place: Place, mode: Literal["car", "foot"] = "foot") -> str:
        """Visit."""
        return f"{place.city} by {mode}"

    assert visit.bind(visit.validate({"place": {"city": "Rome"}}), context())() == "Rome by foot"
    with pytest.raises(ToolArgumentsInvalid, match=r"place\.city: Field required"):
        visit.validate({"place": {}})


def test_a_default_of_none_lets_the_model_send_null() -> None:
    @tool
    def search(word: str, tag: str = None) -> str | None:  # type: ignore[assignment]  # noqa: RUF013
        return tag

    assert search.validate({"word": "x", "tag": None}) == {"word": "x", "tag": None}


def test_the_context_is_filled_in_and_not_shown() -> None:
    @tool
    def remember(word: str, run: ToolContext) -> str:
        run.session_state["word"] = word
        return run.idempotency_key

    @tool
    def optional(run: ToolContext | None = None) -> bool:
        return run is not None

    state: dict[str, Any] = {}
    assert list(remember.parameters["properties"]) == ["word"]
    call = remember.bind(remember.validate({"word": "x"}), context(session_state=state, idempotency_key="k"))
    assert (call(), state) == ("k", {"word": "x"})
    assert optional.bind(optional.validate({}), context())() is True
    with pytest.raises(ToolArgumentsInvalid):
        remember.validate({"word": "x", "run": {}})


def test_a_run_context_is_filled_in_as_agno_does() -> None:
    @tool
    def add_to_cart(run_context: RunContext, item: str) -> str:
        run_context.session_state["cart"] = [item]
        return run_context.run_id

    state: dict[str, Any] = {}
    assert list(add_to_cart.parameters["properties"]) == ["item"]
    call = add_to_cart.bind(add_to_cart.validate({"item": "tea"}), context(session_state=state, run_id="r"))
    assert (call(), state) == ("r", {"cart": ["tea"]})


@pytest.mark.parametrize("kind", [Agent, Team])
def test_a_tool_is_not_handed_its_agent_or_team(kind: type) -> None:
    def look(who: Any, item: str) -> str:
        return item

    look.__annotations__["who"] = kind
    with pytest.raises(DeclarationError, match=f"'who' is of type {kind.__name__}, .* use a ToolContext"):
        tool(look)


def test_parameters_given_by_place_or_in_any_number_are_called_rightly() -> None:
    @tool
    def divide(a: float, b: float, /, *more: int, digits: int = 1, **options: Any) -> float:
        return round(a / b, digits)

    assert list(divide.parameters["properties"]) == ["a", "b", "digits"]
    assert divide.bind(divide.validate({"a": 1, "b": 3, "digits": 2}), context())() == 0.33


def test_a_tool_without_parameters_has_an_empty_schema() -> None:
    @tool
    def ping() -> str:
        return "pong"

    assert ping.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert ping.validate({}) == {}


async def test_async_functions_methods_and_partials_are_tools() -> None:
    class Desk:
        async def ask(self, word: str) -> str:
            """Ask."""
            return word

    def add(a: int, b: int) -> int:
        return a + b

    ask = tool(Desk().ask)
    assert (ask.is_async, list(ask.parameters["properties"])) == (True, ["word"])
    assert await ask.bind({"word": "x"}, context())() == "x"
    increase = tool(name="increase")(functools.partial(add, 1))
    assert increase.bind(increase.validate({"b": 2}), context())() == 3


def test_a_wrapped_function_shows_what_it_wraps() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @tool
    @logged
    def shout(word: str) -> str:
        """Shout."""
        return word.upper()

    assert (shout.description, list(shout.parameters["properties"])) == ("Shout.", ["word"])


def test_options_say_how_to_call() -> None:
    @tool(name="send", description="Send it.", retry_safe=True, timeout_seconds=5, stop_after_tool_call=True)
    def post(to: str) -> str:
        """Unused."""
        return to

    assert (post.name, post.description, post.retry_safe) == ("send", "Send it.", True)
    assert (post.timeout_seconds, post.stop_after_tool_call) == (5, True)
    assert tool(user_input_fields=["to"])(post.function).requires_user_input is True


def test_a_plain_function_becomes_a_tool() -> None:
    def ping(host: str) -> str:
        """Ping."""
        return host

    (agent_tool,) = Agent(id="a", tools=[ping]).tools
    assert isinstance(agent_tool, Tool)
    assert (agent_tool.name, agent_tool.description) == ("ping", "Ping.")


# What cannot be a tool


def refusal(declare: Callable[[], Any]) -> str:
    with pytest.raises(DeclarationError, match=r"test_tools\.py:\d+: ") as caught:
        declare()
    return caught.value.message.partition(": ")[2]


def untyped(city) -> None:  # type: ignore[no-untyped-def]
    """Go."""


def unreadable(price: Decimal) -> None:
    """Go."""


def no_schema(callback: Callable[[], None]) -> None:
    """Go."""


def yielding(count: int) -> Iterator[int]:
    """Go."""
    yield count


class Method:
    def ask(self, word: str) -> str:
        return word


class Needy:
    def __init__(self, desk: str) -> None:
        self.desk = desk


class Empty:
    def _hidden(self) -> None: ...


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (untyped, "tool 'untyped': parameter 'city' has no type hint — write its type, like `city: str`"),
        (unreadable, "its type hints cannot be read (name 'Decimal' is not defined) — import the type"),
        (no_schema, "tool 'no_schema': no JSON schema can be generated for its parameters"),
        (yielding, "tool 'yielding' yields — return the whole result; report progress"),
        (Method.ask, "tool 'ask' is an unbound method — list the bound method"),
        (lambda word: word, "a callable without a name — write it as a function with def"),
        (functools.partial(int, base=2), "a callable without a name"),
        (Needy, "agent 'a': a tool is the class Needy, which needs arguments (missing a required argument: 'desk')"),
        (Empty(), "agent 'a': a tool is an Empty, which has no public methods — list functions"),
        (Toolkit(), "agent 'a': toolkit 'Toolkit' has no tools"),
        (
            Toolkit(name="calc", tools=[Method()], include_tools=["add"]),
            "agent 'a': toolkit 'calc': include_tools names 'add' — it has 'ask'",
        ),
        ({"type": "web_search"}, "agent 'a': a tool is a dict"),
    ],
)
def test_what_cannot_be_a_tool_says_why(candidate: Any, says: str) -> None:
    assert says in refusal(lambda: Agent(id="a", tools=[candidate]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retry_save": True}, "@tool has no option 'retry_save' — did you mean 'retry_safe'?"),
        ({"name": "two words"}, "has a name that models cannot use"),
        ({"timeout_seconds": 0}, "timeout_seconds is 0 — use a number of seconds above 0"),
        ({"user_input_fields": ["town"]}, "user_input_fields names 'town', which is not a parameter"),
        ({"requires_confirmation": True, "external_execution": True}, "keep only one of them"),
    ],
)
def test_wrong_options_are_refused(options: Any, says: str) -> None:
    assert says in refusal(lambda: tool(**options)(sphinx))
