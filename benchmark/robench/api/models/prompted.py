"""The base class of models that show titles to a language model in a prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class PromptedModel(ABC):
    """A model that shows titles to a language model in a prompt.

    A model derives from this class and from ``Model``. Defences that change the prompt need such a model.
    """

    @abstractmethod
    def delimited(self, secret: str) -> Self:
        """Returns a view of this fitted model that quotes titles in its prompts.

        Each title stands between two delimiters, and the prompt says that the text between them is data. The delimiters
        of a prompt depend on ``secret`` and on the prompt. So nobody who writes a title knows them.

        Args:
            secret: any text that no attacker knows.
        """
