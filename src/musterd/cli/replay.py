"""``musterd replay``: drives today's declarations through an exported run, and shows the first step that differs."""

import dataclasses
from pathlib import Path

from musterd.cli.output import print_json, print_text, printable, say
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.settings import settings_from
from musterd.cli.source import load_source
from musterd.testing.recording import ReplayImpossible, read_export
from musterd.testing.replays import Replay, ReplayDiffers, replay

_ORDER = "The first argument is the exported run and the second one the source: `musterd replay run.json team.py`."


def replay_file(file: Path, source: str, *, as_json: bool) -> int:
    """Replay the export in ``file``. Returns 1 if a step differs.

    :raises CommandFailed: the file cannot be read, or its run cannot be replayed.
    :raises DeclarationError: a declaration is wrong.
    """
    try:
        export = read_export(file)  # before the source, so that swapped arguments get an error that says so
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}. {_ORDER}", ExitCode.USAGE) from error
    except ReplayImpossible as error:
        raise CommandFailed(f"{file}: {error.message} {_ORDER}", ExitCode.USAGE) from error
    settings = settings_from(None)
    try:
        result = replay(export, load_source(source, settings).registry, settings=settings)
    except ReplayImpossible as error:
        raise CommandFailed(error.message, ExitCode.USAGE) from error
    except ReplayDiffers as error:
        _print_difference(error, as_json=as_json)
        return 1
    _print_result(result, as_json=as_json)
    return 0


def _print_difference(error: ReplayDiffers, *, as_json: bool) -> None:
    if as_json:
        print_json({"same": False, "difference": dataclasses.asdict(error.difference)})
    else:
        print_text(printable(f"The first difference is in {error}"))


def _print_result(result: Replay, *, as_json: bool) -> None:
    if as_json:
        print_json({"same": True, "steps": result.steps, "notes": result.notes})
        return
    for note in result.notes:
        say(printable(note))
    print_text(f"No difference in {result.steps} steps.")
