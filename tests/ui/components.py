"""What the server of these tests serves: a support desk whose members use tools, ask people, fail and write."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from musterd import (
    Agent,
    Loop,
    Parallel,
    Step,
    StepInput,
    StepOutput,
    Team,
    Workflow,
    WorkflowExecutionInput,
    tool,
)

FOLDER = Path(os.environ["MUSTERD_TEST_FOLDER"])


def wait_for(name: str) -> None:
    """Say that a tool waits, and wait until the test makes the file."""
    (FOLDER / f"{name}.reached").touch()
    pause = threading.Event()
    while not (FOLDER / name).exists():
        pause.wait(0.005)


@tool(retry_safe=True)
def get_order(order_id: str) -> dict[str, object]:
    """Look an order up."""
    return {"order_id": order_id, "total_eur": 64.0, "items": ["Nordlys X2"], "is_paid": True}


@tool(retry_safe=True)
def track_parcel(tracking_no: str) -> str:
    """Ask the carrier where a parcel is; may be done again."""
    wait_for(tracking_no)
    return f"{tracking_no} is in Hamburg"


@tool(requires_confirmation=True)
def refund_payment(order_id: str, amount_eur: float, reason: str = "") -> str:
    """Pay money back to a customer."""
    return f"refunded {amount_eur} of {order_id}: {reason}"


@tool(requires_user_input=True, user_input_fields=["seat", "bags"])
def check_in(flight: str, seat: str = "", bags: int = 0) -> str:
    """Check a passenger in."""
    return f"{flight}: seat {seat}, {bags} bags"


@tool(requires_confirmation=True)
def book(order_id: int, parcels: dict[str, int]) -> str:
    """Book parcels of an order."""
    return f"booked {parcels['first']} and {parcels['second']} of {order_id}"


@tool(external_execution=True)
def open_gate(gate: str) -> str:
    """Open a gate that only people can open."""
    raise AssertionError("people open it")


@tool
def hold(name: str) -> str:
    """Wait until the test says so; must not be done twice."""
    wait_for(name)
    return f"held {name}"


@tool(retry_safe=True)
def hostile() -> str:
    """Answer what a hostile page would."""
    return '<script>window.hacked = 1</script><img src="https://evil.example/x.png" onerror="window.hacked = 1">'


TOOLS = [get_order, track_parcel, hold, hostile]
orders = Agent(id="orders", name="Orders", role="Knows orders", model="scripted", tools=TOOLS)
shipping = Agent(id="shipping", name="Shipping", role="Ships parcels", model="scripted", tools=TOOLS)
billing = Agent(id="billing", name="Billing", role="Pays money back", model="scripted", tools=[refund_payment])
desk = Team(
    id="support-desk",
    name="Support desk",
    description="Answers customers.",
    model="scripted",
    members=[orders, shipping, billing],
    tools=[get_order, refund_payment],
)


def look_up(query: str) -> list[object]:
    """What a search of hostile documents returns."""
    text = f"{query}: <img src=x onerror='window.hacked = 1'>"
    handbook = {"name": "handbook.pdf", "place": "page 3", "content": "Parcels are insured.", "meta_data": {}}
    return [
        {**handbook, "content_origin": "https://shop.example/handbook.pdf"},
        {"name": text, "content": text, "content_origin": "javascript:window.hacked = 1"},
    ]


librarian = Agent(id="librarian", name="Librarian", model="scripted", knowledge_retriever=look_up)
travel = Agent(id="travel", name="Travel", model="scripted", tools=[check_in, book, open_gate])


def collect(step_input: StepInput) -> StepOutput:
    """What a function of a workflow returns."""
    return StepOutput(content=f"collected {step_input.input}")


def publish(step_input: StepInput) -> StepOutput:
    """The last step."""
    return StepOutput(content=f"published: {step_input.previous_step_content}")


article = Workflow(
    id="article",
    name="Article",
    description="Writes and publishes.",
    steps=[
        Loop(name="drafts", steps=[Step(name="draft", agent=orders)], max_iterations=1),
        Parallel("reviews", Step(name="review", agent=travel), Step(name="check", agent=shipping)),
        Step(name="collect", executor=collect, retry_safe=True),
        Step(
            name="publish",
            executor=publish,
            retry_safe=True,
            requires_confirmation=True,
            confirmation_message="Publish this article?",
        ),
    ],
)


def write_report(
    _workflow: Workflow,
    execution_input: WorkflowExecutionInput,
    count: int,
    tone: Literal["dry", "warm"] = "dry",
    *,
    is_urgent: bool = False,
    pages: list[int] | None = None,
    share: float | None = None,
) -> str:
    """A whole workflow with parameters; it returns what it was given."""
    return f"{execution_input.input}: {count=}, {tone=}, {is_urgent=}, {pages=}, {share=}"


report = Workflow(id="report", name="Report", description="Writes a report.", steps=write_report)


class Trip(BaseModel):
    """What a message to the workflow holds."""

    city: str
    days: int = 3


booking = Workflow(
    id="booking",
    name="Booking",
    description="Books a trip.",
    input_schema=Trip,
    steps=[Step(name="collect", executor=collect, retry_safe=True)],
)
