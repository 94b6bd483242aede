"""An agent in front of a workflow: it runs it for a new topic, and answers itself what it knows."""

from musterd import Step, StepInput, StepOutput, Workflow, WorkflowAgent

MESSAGES = [
    '[[TOOL run_workflow {"query": "a kettle that sings"}]]',
    "What was it about?",
    '[[TOOL run_workflow {"query": "the same with a spoon"}]]',
]


def write_story(step_input: StepInput) -> StepOutput:
    """Write about the query of the agent."""
    return StepOutput(content=f"Once there was {step_input.input}.")


def format_story(step_input: StepInput) -> StepOutput:
    """Give it a title."""
    return StepOutput(content=f"# A story\n\n{step_input.previous_step_content}")


def add_references(step_input: StepInput) -> StepOutput:
    """Add the earlier runs of the session as references."""
    earlier = [output for _, output in step_input.get_workflow_history() if output.startswith("# ")]
    return StepOutput(content=f"{step_input.previous_step_content}\n\nReferences: {len(earlier)}")


workflow = Workflow(
    name="Story Generation Workflow",
    description="Generates stories, formats them and adds references",
    agent=WorkflowAgent(model="scripted", num_history_runs=4),
    steps=[
        Step(name="write", executor=write_story),
        Step(name="format", executor=format_story),
        Step(name="references", executor=add_references),
    ],
)
