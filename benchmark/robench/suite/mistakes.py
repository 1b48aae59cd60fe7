"""TODO-DOC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails

from robench.api.errors import UserError, did_you_mean, likeliest
from robench.suite.messages import field_of, in_words, meant
from robench.suite.schema import SECTIONS
from robench.suite.yaml import Path, Tree, dotted


class Mistakes:
    """Collects mistakes with their places, so that all are reported at once, and notes on what is no mistake."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.found: dict[str, tuple[int, UserError, Path | None]] = {}
        self.meant: set[Path] = set()
        self.notes: list[str] = []

    def add(self, problem: str, path: Path, hint: str = "", absent: Path | None = None) -> None:
        """A mistake at a path of the suite; the same one twice is told once.

        ``absent``: the key that is missing. Where a misspelt one was meant to be it, only that is told.
        """
        error = UserError(problem, where=self.tree.place(path), path=dotted(path), hint=hint)
        self.found.setdefault(str(error), (self.tree.line(path), error, absent))

    def add_validation(
        self,
        error: ValidationError,
        path: Path,
        fields: Sequence[str],
        homes: Mapping[str, Path] | None = None,
        strange: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Every mistake of a pydantic model whose root stands at ``path``.

        ``fields`` are its known keys; ``homes`` says where a key stands that is not right below ``path``; ``strange``
        has a problem and a hint of its own for keys that are not known.
        """
        for detail in error.errors():
            loc = field_of(detail)
            home = (homes or {}).get(str(loc[0]), (*path, loc[0])) if loc else path
            if detail["type"] == "extra_forbidden" and len(loc) == 1 and loc[0] in (strange or {}):
                problem, hint = (strange or {})[str(loc[0])]
                self.add(problem, home, hint)
                continue
            known = fields if len(loc) == 1 else SECTIONS.get(str(loc[0]), ()) if loc and not path else ()
            if detail["type"] == "extra_forbidden" and (key := likeliest(str(loc[-1]), known)) is not None:
                self.meant.add((*path, *loc[:-1], key))
            absent = (*path, *loc) if detail["type"] == "missing" else None
            self.add(*_told(detail, (*home, *loc[1:]), known), absent=absent)

    def in_order(self) -> list[UserError]:
        """By line; what the command line has set comes first."""
        told = [(line, error) for line, error, absent in self.found.values() if absent not in self.meant]
        return [error for _, error in sorted(told, key=lambda pair: pair[0])]


def _told(detail: ErrorDetails, where: Path, fields: Sequence[str]) -> tuple[str, Path, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key '{name}'", where, did_you_mean(name, fields) if fields else ""
    if kind == "missing":
        return f"missing key '{name}'", where[:-1], ""
    if kind == "too_short" and not detail["input"]:
        return "the list is empty", where, "give at least one entry"
    return in_words(detail), where, meant(detail)
