"""A workflow: an agent writes a draft, a function signs it, and it is published after a person's consent.

Serve it: musterd dev workflow.py
"""

import os

from musterd import Agent, Step, StepInput, StepOutput, Workflow

# "scripted" is built in and needs no account: it repeats the message.
MODEL = os.environ.get("MODEL", "scripted")

writer = Agent(id="writer", model=MODEL, instructions="Write a short article about the topic.")


def sign(step_input: StepInput) -> StepOutput:
    """The draft with a signature below it."""
    return StepOutput(content=f"{step_input.previous_step_content}\n\nThe editors")


def publish(step_input: StepInput) -> StepOutput:
    """Publish the article. A real one would call a service."""
    return StepOutput(content=f"Published:\n\n{step_input.previous_step_content}")


article = Workflow(
    id="article",
    name="Article",
    steps=[
        Step(name="draft", agent=writer),
        Step(name="sign", executor=sign, retry_safe=True),  # repeated if a crash cuts it off
        Step(
            name="publish",
            executor=publish,
            requires_confirmation=True,
            confirmation_message="Publish this article?",
            on_reject="cancel",
        ),
    ],
)
