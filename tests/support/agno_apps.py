"""A file that declares a shop's agents and team with Agno's own classes, and how tests load and serve such files."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from musterd import create_app
from musterd.cli.source import Source
from tests.support.app import in_process, settings_for
from tests.support.http import ServerClient

Load = Callable[..., Source]
"""Loads the text of a file; ``name`` selects one object, further keywords are settings."""

SHOP = '''
from agno.agent import Agent
from agno.exceptions import CheckTrigger, InputCheckError
from agno.guardrails import PIIDetectionGuardrail
from agno.run import RunContext
from agno.team import Team
from agno.tools import Toolkit, tool
from pydantic import BaseModel


class Ticket(BaseModel):
    title: str
    priority: int


@tool(requires_confirmation=True)
def refund(order: str, euros: int) -> str:
    """Pay money back."""
    return f"{euros} euros for {order} are on their way"


def put(run_context: RunContext, agent: Agent, item: str) -> str:
    """Put an item into the cart."""
    run_context.session_state["cart"].append(item)
    return f"{agent.name}: {run_context.session_state['cart']}"


class Calculator(Toolkit):
    def __init__(self):
        super().__init__(name="calculator", tools=[self.multiply], instructions="Count.", add_instructions=True)

    async def multiply(self, a: float, b: float) -> str:
        """Multiply two numbers."""
        return str(a * b)


def no_passwords(run_input, agent):
    if "password" in run_input.input_content:
        raise InputCheckError(f"{agent.name}: no passwords", check_trigger=CheckTrigger.INPUT_NOT_ALLOWED)


async def louder(run_output, run_context):
    run_context.session_state["said"] = run_output.content
    run_output.content = run_output.content.upper()


def watched(function_name, function_call, arguments, agent):
    return f"<{agent.name}> {function_call(**arguments)}"


def instructions(agent, session_state):
    return f"You are {agent.name}, the cart is {session_state.get('cart')}."


orders = Agent(
    name="Orders",
    role="Finds and changes orders",
    model="openai:gpt-4o",
    instructions=instructions,
    tools=[refund, put, Calculator()],
    tool_hooks=[watched],
    pre_hooks=[no_passwords, PIIDetectionGuardrail(mask_pii=True)],
    post_hooks=[louder],
    session_state={"cart": []},
    retries=3,
    telemetry=False,
)
triage = Agent(output_schema=Ticket)
desk = Team(name="Support desk", mode="route", members=[orders, triage], retries=2)
'''


@contextlib.asynccontextmanager
async def serving(source: Source, database: Path) -> AsyncIterator[ServerClient]:
    """Serve a source with the scripted model."""
    settings = settings_for(database, model_override="scripted")
    async with in_process(create_app(registry=source.registry, settings=settings)) as client:
        yield client
