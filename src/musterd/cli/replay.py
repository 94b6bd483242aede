"""``musterd replay``: drives today's declarations through an exported run, and shows the first step that differs."""

import dataclasses
import json
import sys
from pathlib import Path

from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.settings import settings_from
from musterd.declare import load
from musterd.testing.recording import ReplayImpossible
from musterd.testing.replays import Replay, ReplayDiffers, replay


def replay_file(file: Path, source: str, *, as_json: bool) -> int:
    """Replay the export in ``file``. Returns 1 if a step differs.

    :raises CommandFailed: the file cannot be read, or its run cannot be replayed.
    :raises DeclarationError: a declaration is wrong.
    """
    settings = settings_from(None)
    try:
        result = replay(file, load(source), settings=settings)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}.", ExitCode.USAGE) from error
    except ReplayImpossible as error:
        raise CommandFailed(error.message, ExitCode.USAGE) from error
    except ReplayDiffers as error:
        _print_difference(error, as_json=as_json)
        return 1
    _print_result(result, as_json=as_json)
    return 0


def _print_difference(error: ReplayDiffers, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"same": False, "difference": dataclasses.asdict(error.difference)}))  # noqa: T201
    else:
        print(f"The first difference is {error}")  # noqa: T201 - the output of the command


def _print_result(result: Replay, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"same": True, "steps": result.steps, "notes": result.notes}))  # noqa: T201
        return
    for note in result.notes:
        print(note, file=sys.stderr)  # noqa: T201 - no data
    print(f"No difference in {result.steps} steps.")  # noqa: T201 - the output of the command
