"""Approve refunds of up to 50 euros, and leave the others to people.

python examples/client/approve.py
"""

import contextlib
import math
import time

from musterd import Client
from musterd.client import Approval, Conflict

LIMIT = 50
PAUSE_SECONDS = 1.0


def is_small(approval: Approval) -> bool:
    arguments = approval.tool_args or {}
    # A call that was cut off (unknown_outcome) may have happened: a person has to find out.
    is_first_question = approval.pause_type == "confirmation"
    return is_first_question and approval.tool_name == "refund" and arguments["euros"] <= LIMIT


def main() -> None:
    with Client(retry_seconds=math.inf) as client:  # it waits for a server that is away
        while True:
            for approval in filter(is_small, client.approvals.all()):
                with contextlib.suppress(Conflict):  # a person was faster
                    client.approvals.approve(approval.id, resolved_by="refund bot")
                    print(f"{approval.run_id}: approved {approval.tool_args}", flush=True)
            time.sleep(PAUSE_SECONDS)


with contextlib.suppress(KeyboardInterrupt):
    main()
