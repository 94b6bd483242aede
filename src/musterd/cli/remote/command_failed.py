"""The failure of a command, and the exit codes."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command that talks to a server says with its exit code."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    PAUSED = 3
    UNREACHABLE = 4
    CANCELLED = 130


EXIT_CODE_OF_STATUS = {
    "COMPLETED": ExitCode.COMPLETED,
    "ERROR": ExitCode.FAILED,
    "PAUSED": ExitCode.PAUSED,
    "CANCELLED": ExitCode.CANCELLED,
}


class CommandFailed(Exception):
    """A command cannot do its work. The message says why, and what to do about it.

    :param message: one or several lines.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def wrong_usage(error: ValueError) -> CommandFailed:
    """The failure of a command for a value that the client refuses."""
    words = str(error)
    return CommandFailed(f"{words[:1].upper()}{words[1:]}.", ExitCode.USAGE)
