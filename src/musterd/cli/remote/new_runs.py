"""Runs that come from others: continued, repeated, forked."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from musterd.cli.output import print_text, say
from musterd.cli.page import page_url_of
from musterd.cli.remote.following import follow_and_print, print_receipt
from musterd.cli.remote.run_lists import run_id_of
from musterd.cli.remote.server_options import ServerOptions, connected, server_of

if TYPE_CHECKING:
    from musterd.client import Client, Run


def started_from(name: str, start: Callable[["Client", str], "Run"], options: ServerOptions, *, detach: bool) -> int:
    """Start a run from another one, and follow it.

    :param name: the run, or the beginning of its id.
    :param start: starts the new run from the id of the other.
    """
    with connected(options) as client:
        run = start(client, run_id_of(client, name))
    return attend(run, options, detach=detach)


def attend(run: "Run", options: ServerOptions, *, detach: bool, as_json: bool = False) -> int:
    """Follow a run that was just started, or only print its id.

    :param detach: do not wait for it.
    """
    if detach:
        print_text(run.run_id)
        print_receipt(run.run_id, options, page_url_of(server_of(options), f"runs/{run.run_id}"))
        return 0
    if not sys.stderr.isatty():
        say(f"run {run.run_id} in session {run.session_id}")
    return follow_and_print(run, options, cancels=True, as_json=as_json)
