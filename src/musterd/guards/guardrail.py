"""Base class of guardrails: hooks that carry their own settings."""

from musterd.guards.hook_types import RunInput


class BaseGuardrail:
    """Subclass it and implement ``check`` or the async ``async_check``, then list an instance among the hooks.

    Parameters are filled as for a function, so a guardrail in ``post_hooks`` takes ``run_output``. Set ``hides_input``
    if events must not show the message as it was before this guardrail changed it.
    """

    hides_input: bool = False

    def check(self, run_input: RunInput) -> None:
        """Check the input. Called in a thread.

        :raises InputCheckError: if the input is rejected.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither check nor async_check")

    async def async_check(self, run_input: RunInput) -> None:
        """Check the input asynchronously. The default implementation calls ``check``."""
        self.check(run_input)
