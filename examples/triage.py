"""Support triage: a leader that finds the one desk that fits, whose answer goes to the customer as it is (mode route).

    .venv/bin/musterd serve examples/triage.py

It runs offline, on the model ``scripted``; MUSTERD_EXAMPLE_MODEL=openai:gpt-5-mini (or any other) gives it a real one.
"""

import os

from musterd import Agent, Team, tool

MODEL = os.environ.get("MUSTERD_EXAMPLE_MODEL", "scripted")

INVOICES = {"R4711": "120.00 EUR, paid on 3 May", "R4712": "89.90 EUR, due on 1 June"}
ORDERS = {"A17": "left the warehouse this morning", "A18": "waits for its payment"}


@tool(retry_safe=True)
def find_invoice(number: str) -> str:
    """Find an invoice.

    Args:
        number: The number of the invoice.
    """
    return INVOICES.get(number.strip("#").upper(), f"There is no invoice {number}.")


@tool(retry_safe=True)
def find_order(number: str) -> str:
    """Find where an order is.

    Args:
        number: The number of the order.
    """
    return ORDERS.get(number.strip("#").upper(), f"There is no order {number}.")


billing = Agent(
    id="billing",
    name="Billing",
    role="Answers questions about invoices, payments and refunds",
    tools=[find_invoice],
    instructions="Look the invoice up before you speak of it. Be brief and friendly.",
)
shipping = Agent(
    id="shipping",
    name="Shipping",
    role="Answers questions about orders, parcels and delivery",
    tools=[find_order],
    instructions="Look the order up before you speak of it. Be brief and friendly.",
)
technical = Agent(
    id="technical",
    name="Technical support",
    role="Helps with logins, errors and settings of the product",
    instructions="Ask for the exact error where it is missing. Give one step at a time.",
)

desk = Team(
    id="triage",
    name="Support desk",
    mode="route",
    model=MODEL,
    members=[billing, shipping, technical],
    instructions="Customers know nothing of the desks. Where none fits, say so yourself.",
)
