"""A guardrail: a hook with settings of its own."""

from musterd.guards.given import RunInput


class BaseGuardrail:
    """Subclass it with ``check``, or with an async ``async_check``; an instance stands among the hooks.

    Parameters are filled as a function's are: one that stands among ``post_hooks`` takes ``run_output``.
    ``hides_input`` says that events must not show the message as it was before this one.
    """

    hides_input: bool = False

    def check(self, run_input: RunInput) -> None:
        """Look at what is asked; called in a thread.

        :raises InputCheckError: it is refused.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither check nor async_check")

    async def async_check(self, run_input: RunInput) -> None:
        """The same, awaited; by default ``check`` is called in its place."""
        self.check(run_input)
