"""A team whose refunds need an approval.

musterd serve examples/client/desk.py
"""

from musterd import Agent, Team, tool


@tool(requires_confirmation=True)
def refund(order: str, euros: int) -> str:
    """Pay money back."""
    return f"{euros} euros for {order} are on their way"


clerk = Agent(id="clerk", name="Clerk", tools=[refund])
desk = Team(id="desk", name="Service desk", model="scripted", members=[clerk])
