"""The arguments that several commands have, each with its description."""

from typing import Annotated, Literal

from cyclopts import Parameter

RunName = Annotated[str, Parameter(help="The id of the run, or its beginning.")]
SessionName = Annotated[str, Parameter(help="The id of the session, or its beginning.")]
ApprovalName = Annotated[str, Parameter(help="The id of the approval, or its beginning.")]
DecidedBy = Annotated[str | None, Parameter(help="Who decides; with a token its user does.")]
Detach = Annotated[bool, Parameter(help="Print the id of the new run, and do not wait for it.")]
ComponentKind = Literal["team", "agent", "workflow"]
