"""A defence that quotes titles in prompts between random delimiters."""

from __future__ import annotations

from typing import ClassVar

from robench.api import Defense, Model, PluginError, Rng
from robench.api.models.prompted import PromptedModel


class Delimiters(Defense):
    """Quotes titles between random delimiters and says that they are data.

    Hines et al. (2024, "Defending against indirect prompt injection attacks with spotlighting") call this delimiting.
    The prompt adds that text between the delimiters is never an instruction. Each prompt has delimiters of its own,
    which depend on a secret and on all of its titles. So a title cannot close the quotation. Liu et al. (USENIX
    Security 2024) measure similar defences, and find that models may still follow quoted instructions.

    The prompts become longer, which the tokens in the records show.
    """

    changes_fit: ClassVar[bool] = False

    def problem(self, model: type[Model]) -> str:
        """Returns why the defence cannot protect a model, or an empty string."""
        return super().problem(model) or ("" if issubclass(model, PromptedModel) else "shows no titles in a prompt")

    def wrap(self, model: Model, rng: Rng) -> Model:
        """Returns a view of the model that quotes titles in its prompts.

        Raises:
            PluginError: if the model shows no titles in a prompt.
        """
        if not isinstance(model, PromptedModel):
            raise PluginError(f"{type(model).__name__} shows no titles in a prompt")
        secret = rng.child("delimiters").numpy().bytes(16).hex()
        delimited: Model = model.delimited(secret)
        return delimited
