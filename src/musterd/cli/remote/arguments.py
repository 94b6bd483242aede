"""The arguments that several commands have, with their descriptions and what completes them."""

from typing import Annotated, Literal

from cyclopts import Parameter

from musterd.cli.remote import completing
from musterd.cli.remote.profiles import complete_profiles

RunName = Annotated[str, Parameter(help="The id of the run, or its beginning.", completer=completing.runs)]
SessionName = Annotated[str, Parameter(help="The id of the session, or its beginning.", completer=completing.sessions)]
ApprovalName = Annotated[
    str, Parameter(help="The id of the approval, or its beginning.", completer=completing.approvals)
]
Team = Annotated[str, Parameter(completer=completing.components)]
TeamOrSource = Annotated[str, Parameter(completer=completing.components_and_sources)]
Run = Annotated[str, Parameter(completer=completing.runs)]
Session = Annotated[str, Parameter(completer=completing.sessions)]
ProfileName = Annotated[str, Parameter(help="The name of the profile.", completer=complete_profiles)]
DecidedBy = Annotated[str | None, Parameter(help="Who decides, if no token says it.")]
Detach = Annotated[bool, Parameter(help="Print the id of the new run, and do not wait for it.")]
ComponentKind = Literal["team", "agent", "workflow"]
