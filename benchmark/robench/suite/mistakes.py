"""Collects the mistakes of a suite, so that all mistakes are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from robench.api.errors import UserError, did_you_mean, likeliest
from robench.suite.messages import describe_error, is_about_another_branch, location_of, suggest_grid, suggest_value
from robench.suite.schema import SECTIONS
from robench.suite.yaml import KeyPath, Tree, format_path

_ENTRIES = ("datasets", "models", "defenses", "attacks")


@dataclass(frozen=True)
class _Mistake:
    """One mistake in a suite.

    If the mistake is a missing key, ``absent`` is the path of that key.
    """

    line: int
    error: UserError
    absent: KeyPath | None


class Mistakes:
    """The mistakes of one suite, and notes about the suite.

    Args:
        tree: the content of the suite file, with the line of every value.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.notes: list[str] = []
        self.misspelt: set[KeyPath] = set()
        self._mistakes: dict[str, _Mistake] = {}

    def __bool__(self) -> bool:
        """Returns whether there is a mistake."""
        return bool(self._mistakes)

    def add(self, problem: str, path: KeyPath, hint: str = "", absent: KeyPath | None = None) -> None:
        """Adds a mistake at a path of the suite.

        A repeated mistake is reported only once.

        Args:
            problem: a description of the mistake.
            path: the path of the mistake.
            hint: advice, such as the value that was probably meant.
            absent: the path of a missing key, or None. If the suite seems to contain a misspelling of this key, only
                the misspelling is reported.
        """
        error = UserError(problem, where=self.tree.place(path), path=format_path(path), hint=hint)
        self._mistakes.setdefault(str(error), _Mistake(self.tree.line(path), error, absent))

    def add_validation(
        self,
        error: ValidationError,
        path: KeyPath,
        known: Sequence[str],
        homes: Mapping[str, KeyPath] | None = None,
        explained: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Adds the mistakes in a pydantic error.

        Mistakes about a branch of a union that was not meant are left out.

        Args:
            error: the validation error of one pydantic model.
            path: the path in the suite that corresponds to the root of the pydantic model.
            known: the keys of the pydantic model.
            homes: the paths of keys that are not directly below ``path``.
            explained: the problem and the hint for some unknown keys, by key.
        """
        for detail in error.errors():
            if is_about_another_branch(detail):
                continue
            loc = location_of(detail)
            home = (homes or {}).get(str(loc[0]), (*path, loc[0])) if loc else path
            unknown = detail["type"] == "extra_forbidden"
            if unknown and len(loc) == 1 and loc[0] in (explained or {}):
                problem, hint = (explained or {})[str(loc[0])]
                self.add(problem, home, hint)
                continue
            keys = known if len(loc) == 1 else SECTIONS.get(str(loc[0]), ()) if loc and not path else ()
            if unknown and (closest := likeliest(str(loc[-1]), keys)) is not None:
                self.misspelt.add((*path, *loc[:-1], closest))
            absent = (*path, *loc) if detail["type"] == "missing" else None
            self.add(*_describe(detail, (*home, *loc[1:]), keys), absent=absent)

    def in_order(self) -> list[UserError]:
        """Returns the mistakes, ordered by line.

        Mistakes in command-line options come first. A missing key is left out if a misspelling of it is reported.
        """
        reported = [mistake for mistake in self._mistakes.values() if mistake.absent not in self.misspelt]
        return [mistake.error for mistake in sorted(reported, key=lambda mistake: mistake.line)]


def _describe(detail: ErrorDetails, path: KeyPath, known: Sequence[str]) -> tuple[str, KeyPath, str]:
    """Returns the description, the path and the hint of a mistake."""
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key '{name}'", path, did_you_mean(name, known) if known else ""
    if kind == "missing":
        return f"missing key '{name}'", path[:-1], ""
    if kind == "too_short" and not detail["input"]:
        return "the list is empty", path, "give at least one entry"
    hint = suggest_value(detail)
    if not hint and len(path) == 3 and path[0] in _ENTRIES and name not in ("name", "label"):
        hint = suggest_grid(detail, name)
    return describe_error(detail), path, hint
