"""A workflow: research, a draft that is revised until it is short enough, two reviews at once, and a person's consent.

    .venv/bin/musterd serve examples/article.py

    curl http://127.0.0.1:7777/workflows/article/runs -F stream=false -F "message=The history of the kettle"

It runs offline, on the model ``scripted``; MUSTERD_EXAMPLE_MODEL=openai:gpt-5-mini (or any other) gives it a real one.
The last step waits for a person: answer it on the page at http://127.0.0.1:7777/ui/, or as docs/howto/workflows.md
shows.
"""

import os

from musterd import Agent, Loop, Parallel, Step, StepInput, StepOutput, Workflow

MODEL = os.environ.get("MUSTERD_EXAMPLE_MODEL", "scripted")
MOST_WORDS = 120

researcher = Agent(id="researcher", model=MODEL, instructions="List facts about the topic, each with its source.")
writer = Agent(id="writer", model=MODEL, instructions=f"Write a short article, at most {MOST_WORDS} words.")
critic = Agent(id="critic", model=MODEL, instructions="Name what is unclear or wrong. Be brief.")
lawyer = Agent(id="lawyer", model=MODEL, instructions="Name what could offend somebody. Be brief.")


def is_short_enough(outputs: list[StepOutput]) -> bool:
    """Whether the draft of an iteration is the last one."""
    return len(str(outputs[-1].content).split()) <= MOST_WORDS


def with_reviews(step_input: StepInput) -> StepOutput:
    """The draft, with what the reviewers said below it."""
    reviews = step_input.get_step_content("reviews")
    remarks = "\n".join(f"- {name}: {text}" for name, text in reviews.items())
    return StepOutput(content=f"{step_input.get_step_content('drafts')}\n\nReviews:\n{remarks}")


def publish(step_input: StepInput) -> StepOutput:
    """Publish the article. A real one would pass run_context.idempotency_key to its service."""
    return StepOutput(content=f"Published:\n\n{step_input.get_step_content('collect')}")


article = Workflow(
    id="article",
    name="Article",
    description="Researches a topic, writes an article, has it reviewed, and publishes it with a person's consent",
    steps=[
        Step(name="research", agent=researcher),
        Loop(
            name="drafts",
            steps=[Step(name="draft", agent=writer)],
            end_condition=is_short_enough,
            forward_iteration_output=True,
        ),
        Parallel("reviews", Step(name="critic", agent=critic), Step(name="lawyer", agent=lawyer)),
        Step(name="collect", executor=with_reviews, retry_safe=True),
        Step(
            name="publish",
            executor=publish,
            requires_confirmation=True,
            confirmation_message="Publish this article?",
            on_reject="cancel",
        ),
    ],
)
