"""The base of models that take the place of declared ones."""

from pydantic_ai.models import Model

from musterd.models.built_in import BuiltInModel


class DeclaredModel(BuiltInModel):
    """A model with the names of a declared one, of which neither package nor key is needed. It reads all media."""

    def __init__(self, declared: str | Model) -> None:
        super().__init__()
        if isinstance(declared, str):
            provider, _, name = declared.partition(":")
            self._names = provider, name or provider
        else:
            self._names = declared.system, declared.model_name

    @property
    def system(self) -> str:
        """The declared provider."""
        return self._names[0]

    @property
    def model_name(self) -> str:
        """The declared model."""
        return self._names[1]
