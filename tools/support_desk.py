"""What the server of ``tools/page_pictures.py`` serves: teams of a shop, a newsroom and a software company.

Each is named by its instructions, by which ``tools/support_desk_model.py`` knows who asks it.
"""

import asyncio

from musterd import Agent, Team, tool

LEADER, MEMBER = "openai-chat:gpt-5", "openai-chat:gpt-5-mini"
HOUR = 3600


@tool(retry_safe=True)
async def get_order(order_id: str) -> dict[str, object]:
    """Look an order up by its number."""
    await asyncio.sleep(0.5)
    return {"order_id": order_id, "items": [{"sku": "NX2-BLK", "name": "Nordlys X2"}], "total_eur": 103.9, "paid": True}


@tool(retry_safe=True)
async def list_payments(order_id: str) -> list[dict[str, object]]:
    """List the payments of an order."""
    await asyncio.sleep(1.1)
    return [
        {"order_id": order_id, "amount_eur": 89.0, "for": "goods", "card": "Visa 4242"},
        {"order_id": order_id, "amount_eur": 14.9, "for": "shipping", "card": "Visa 4242"},
    ]


@tool(retry_safe=True)
async def track_parcel(tracking_no: str, carrier: str) -> dict[str, object]:
    """Ask the carrier for the scans of a parcel."""
    await asyncio.sleep(3.2)
    scans = [{"at": "2026-11-18T17:02", "where": "Malmö"}, {"at": "2026-11-21T04:40", "where": "Hamburg"}]
    return {"tracking_no": tracking_no, "carrier": carrier, "scans": scans, "delivered": False}


@tool(retry_safe=True)
async def stock_level(sku: str) -> dict[str, object]:
    """How many pieces of an article are in the warehouse."""
    await asyncio.sleep(0.5)
    return {"sku": sku, "free": 14, "bay": "C-14"}


@tool(retry_safe=True)
async def next_pickup(warehouse: str) -> str:
    """When the carrier comes to a warehouse next."""
    await asyncio.sleep(0.9)
    return f"{warehouse}: today at 18:00"


@tool(retry_safe=True)
async def reserve_item(sku: str, order_id: str) -> dict[str, object]:
    """Reserve one piece of an article for an order."""
    await asyncio.sleep(0.7)
    return {"reservation": "R-20931", "sku": sku, "order_id": order_id, "until": "2026-12-01T18:00"}


@tool(requires_confirmation=True, decide_within_seconds=4 * HOUR, default_decision="reject")
async def refund_payment(order_id: str, amount_eur: float, reason: str) -> str:
    """Pays money back to the card that paid."""
    await asyncio.sleep(0.6)
    return f"Refunded {amount_eur} EUR of order {order_id} to Visa 4242: {reason}"


@tool(requires_user_input=True, user_input_fields=["seat", "bags"], decide_within_seconds=12 * HOUR)
async def check_in(flight: str, seat: str = "", bags: int = 0) -> str:
    """Checks a passenger in for a flight."""
    return f"{flight}: seat {seat}, {bags} bags"


@tool(retry_safe=True)
async def run_smoke_tests(version: str) -> str:
    """Run the smoke tests of a version in the staging environment."""
    await asyncio.sleep(2.2)
    return f"{version}: 214 passed in 38 s"


@tool(requires_confirmation=True, decide_within_seconds=2 * HOUR, default_decision="reject")
async def deploy(service: str, version: str, share_percent: int) -> str:
    """Sends a share of the traffic to a new version."""
    return f"{service} {version}: {share_percent} %"


@tool(retry_safe=True)
async def search_tests(topic: str) -> list[str]:
    """Search published product tests."""
    await asyncio.sleep(1.0)
    return [f"{topic}: ADAC, 12 November", f"{topic}: Vi Bilägare, 18 November", f"{topic}: NAF Motor, 24 November"]


@tool
async def send_newsletter(list_name: str, subject: str) -> str:
    """Sends a newsletter to everyone on a list."""
    await asyncio.sleep(HOUR)
    return f"{subject}: sent to {list_name}"


orders = Agent(
    id="orders",
    name="Orders",
    role="Knows orders and payments",
    instructions="You are Orders.",
    model=MEMBER,
    tools=[get_order, list_payments],
)
carrier = Agent(
    id="carrier",
    name="Carrier",
    role="Traces parcels with carriers",
    instructions="You are Carrier.",
    model=MEMBER,
    tools=[track_parcel],
)
warehouse = Agent(
    id="warehouse",
    name="Warehouse",
    role="Knows stock and pickups",
    instructions="You are Warehouse.",
    model=MEMBER,
    tools=[stock_level, next_pickup, reserve_item],
)
shipping = Team(
    id="shipping",
    name="Shipping",
    role="Finds parcels and sends replacements",
    instructions="You are Shipping.",
    model=MEMBER,
    members=[carrier, warehouse],
)
billing = Agent(
    id="billing",
    name="Billing",
    role="Pays money back",
    instructions="You are Billing.",
    model=MEMBER,
    tools=[refund_payment],
)
support_desk = Team(
    id="support-desk",
    name="Support desk",
    description="Answers customers of the shop, and repairs what went wrong with their orders.",
    instructions="You are Support desk.",
    model=LEADER,
    members=[orders, shipping, billing],
)

travel = Agent(
    id="travel",
    name="Travel",
    role="Checks passengers in",
    instructions="You are Travel.",
    model=MEMBER,
    tools=[check_in],
)

tester = Agent(
    id="tester",
    name="Tester",
    role="Tests versions",
    instructions="You are Tester.",
    model=MEMBER,
    tools=[run_smoke_tests],
)
rollout = Agent(
    id="rollout",
    name="Rollout",
    role="Deploys versions",
    instructions="You are Rollout.",
    model=MEMBER,
    tools=[deploy],
)
release_crew = Team(
    id="release-crew",
    name="Release crew",
    description="Tests and deploys new versions.",
    instructions="You are Release crew.",
    model=LEADER,
    members=[tester, rollout],
)

researcher = Agent(
    id="researcher",
    name="Researcher",
    role="Checks facts and figures",
    instructions="You are Researcher.",
    model=MEMBER,
    tools=[search_tests],
)
publisher = Agent(
    id="publisher",
    name="Publisher",
    role="Sends newsletters",
    instructions="You are Publisher.",
    model=MEMBER,
    tools=[send_newsletter],
)
newsroom = Team(
    id="newsroom",
    name="Newsroom",
    description="Checks drafts and publishes them.",
    instructions="You are Newsroom.",
    model=LEADER,
    members=[researcher, publisher],
)
