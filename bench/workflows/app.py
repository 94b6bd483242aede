"""musterd's application: a workflow of each kind. See bench/peer/workflows.py."""

import musterd
from bench.workflow_declarations import workflows

MODEL = "openai-chat:fake-model"

row, parallel, choices, functions = workflows(musterd, lambda name: musterd.Agent(id=name, name=name, model=MODEL))
