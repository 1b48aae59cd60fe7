"""Builds the advice to change a setting, for the hints in error messages."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

COLUMNS = "[user, item, ...]"  # names of columns, as an example


@dataclass(frozen=True)
class Advice:
    """The settings with which a user can change how a file is read.

    Args:
        settings: the names of the settings that apply to the file. Hints name no others.
        file: the setting that names the file, if ``separator`` and ``encoding`` may be given per file. An empty string
            means that they apply to all files.
        others: the values of ``separator`` and ``encoding`` for the file of interactions. If ``file`` names another
            file, hints repeat these values.
    """

    settings: Collection[str] = ()
    file: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    def separator(self, value: str) -> str:
        """Returns advice on a separator, or an empty string if there is no such setting."""
        return self._form("separator", value) if "separator" in self.settings else ""

    def encoding(self, value: str, other: str = "") -> str:
        """Returns advice on an encoding.

        Args:
            value: the encoding to set.
            other: another encoding that is worth a try, or an empty string.
        """
        if "encoding" not in self.settings:
            return "save it as UTF-8"
        return self._form("encoding", value) + (f" or {other}" if other else "")

    def _form(self, setting: str, value: str) -> str:
        """Returns advice on a setting that may differ from file to file."""
        written = _scalar(value)
        if self.file:
            other = self.others.get(setting)
            written = "{" + (f"path: {_scalar(other)}, " if other else "") + f"{self.file}: {written}" + "}"
        return f"set {setting}: {written}"

    def form(self, settings: Mapping[str, object]) -> str:
        """Returns advice on several settings of a file of interactions.

        Args:
            settings: the values to set. With ``header: false``, the advice also asks for the names of the columns.
        """
        written = {key: json.dumps(value) for key, value in settings.items()}
        if settings.get("header") is False:
            written["columns"] = COLUMNS
        return f"set {', '.join(f'{key}: {value}' for key, value in written.items())}"

    def missing_header(self) -> str:
        """Returns advice for a file with a first row that looks like data."""
        if "header" in self.settings:
            return f"the first row looks like data: set header: false, and columns: {COLUMNS}"
        return "the first row looks like data: write a row of names above it"

    def null(self, key: str) -> str:
        """Returns advice for a column that is empty in all rows.

        The result is an empty string unless ``key`` is a setting of an optional column.
        """
        return f"set {key}: null" if key in self.settings and key in ("rating", "time") else ""

    def column(self, key: str) -> str:
        """Returns advice for a missing column.

        The result is an empty string if the settings do not include ``key``.

        Args:
            key: the setting that names the column.
        """
        if key not in self.settings:
            return ""
        return f"set {key}: [NAME, ...]" if key == "profile" else f"set {key}: NAME"

    def decimal(self) -> str:
        """Returns advice for a number with a comma.

        The result is an empty string if there is no setting ``decimal``.
        """
        return "set decimal: ','" if "decimal" in self.settings else ""


def _scalar(value: str) -> str:
    """Returns a separator or the name of an encoding as YAML."""
    return value if value and value.replace("-", "").replace("_", "").isalnum() else json.dumps(value)
