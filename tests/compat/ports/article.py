"""Branches whose contents are read by name, a condition with two ways, and a loop until all is well."""

from musterd import Condition, Loop, Parallel, Step, StepInput, StepOutput, Workflow

MESSAGES = ["a long story", "a short story"]


def search_web(step_input: StepInput) -> StepOutput:
    """Search in one place."""
    return StepOutput(content=f"web: {step_input.input}")


def search_archive(step_input: StepInput) -> str:
    """Search in another, and return a plain text."""
    return f"archive: {step_input.get_input_as_string()}"


def summarize(step_input: StepInput) -> StepOutput:
    """Read what stands before: by name, all of it, and the last of it."""
    research = step_input.get_step_content("research")
    draft = step_input.get_step_content("draft")
    everything = step_input.get_all_previous_content()
    return StepOutput(content=f"{research} | {draft} | {step_input.get_last_step_content()} | {everything}")


def draft(step_input: StepInput) -> StepOutput:
    """Build on the step before."""
    return StepOutput(content=f"draft of <{step_input.previous_step_content}>"[:60])


def review(step_input: StepInput) -> StepOutput:
    """Reject long stories."""
    output = step_input.get_step_output("draft")
    return StepOutput(
        content=f"review of {output.step_name if output else None}", success="long" not in step_input.input
    )


def is_long(step_input: StepInput) -> bool:
    """Whether the story is long."""
    return "long" in step_input.input


def is_good(outputs: list[StepOutput]) -> bool:
    """Whether all steps of the iteration succeeded."""
    return all(output.success for output in outputs)


workflow = Workflow(
    name="Article",
    description="Researches and writes",
    steps=[
        Parallel(
            Step(name="web", executor=search_web),
            Step(name="archive", executor=search_archive),
            name="research",
            description="In two places at once",
        ),
        Step(name="summary", executor=summarize),
        Condition(
            name="long",
            evaluator=is_long,
            steps=[Step(name="shorten", executor=draft)],
            else_steps=[Step(name="extend", executor=draft), Step(name="more", executor=search_archive)],
        ),
        Loop(
            name="polish",
            steps=[Step(name="draft", executor=draft), Step(name="review", executor=review, on_error="skip")],
            max_iterations=2,
            end_condition=is_good,
        ),
        summarize,
    ],
)
