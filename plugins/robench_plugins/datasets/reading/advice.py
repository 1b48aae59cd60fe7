"""Words the advice to change a setting, for the hints of errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Advice:
    """The settings with which a user can change how a file is read.

    Args:
        file: the setting that names the file, if ``separator`` and ``encoding`` may be given per file. An empty string
            means that they apply to all files.
        others: the values of ``separator`` and ``encoding`` for the file of interactions, which the user keeps if
            ``file`` names another file.
        named: whether settings name the columns of the file, and the settings ``rating`` and ``time`` can be null.
        header: whether the file may have no header, as the setting ``header`` says.
        decimal: whether there is a setting ``decimal``.
    """

    file: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    named: bool = False
    header: bool = False
    decimal: bool = False

    def form(self, setting: str, value: str) -> str:
        """Returns advice on a setting that may differ from file to file.

        Args:
            setting: ``separator`` or ``encoding``.
            value: the value to set.
        """
        written = _scalar(value)
        if self.file:
            other = self.others.get(setting)
            written = "{" + (f"path: {_scalar(other)}, " if other else "") + f"{self.file}: {written}" + "}"
        return f"set {setting}: {written}"

    def missing_header(self) -> str:
        """Returns advice for a file whose first row looks like data."""
        if self.header:
            return "the first row looks like data: set header: false, and columns: [user, item, ...]"
        return "the first row looks like data: write a row of names above it"

    def null(self, key: str) -> str:
        """Returns advice for a column that is empty in all rows, or an empty string."""
        return f"set {key}: null" if self.named and key in ("rating", "time") else ""

    def column(self, key: str) -> str:
        """Returns advice for a missing column, or an empty string.

        Args:
            key: the setting that names the column.
        """
        return f"set {key}: [NAME, ...]" if key == "profile" else f"set {key}: NAME" if self.named else ""


def _scalar(value: str) -> str:
    """Returns a separator or the name of an encoding as YAML."""
    return value if value and value.replace("-", "").replace("_", "").isalnum() else json.dumps(value)
