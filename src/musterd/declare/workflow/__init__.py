"""Workflows: what users declare, what their functions get and return, and the resolved form that the server uses."""

from musterd.declare.workflow.cel import CEL_AVAILABLE
from musterd.declare.workflow.pause import pause
from musterd.declare.workflow.policies import OnError, OnReject
from musterd.declare.workflow.step_io import StepInput, StepOutput, WorkflowExecutionInput, WorkflowSession
from musterd.declare.workflow.steps import AnyStep, Condition, Loop, Parallel, Router, Step, Steps
from musterd.declare.workflow.user_input import UserInputField
from musterd.declare.workflow.workflow import Workflow
from musterd.declare.workflow.workflow_agent import WorkflowAgent

__all__ = [
    "CEL_AVAILABLE",
    "AnyStep",
    "Condition",
    "Loop",
    "OnError",
    "OnReject",
    "Parallel",
    "Router",
    "Step",
    "StepInput",
    "StepOutput",
    "Steps",
    "UserInputField",
    "Workflow",
    "WorkflowAgent",
    "WorkflowExecutionInput",
    "WorkflowSession",
    "pause",
]
