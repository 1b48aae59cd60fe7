"""The errors that robench raises on purpose, and hints for unknown names.

If robench ends with any other exception, robench or a plugin has a bug.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

NEAR = 0.6  # the least similarity of a suggested name, between 0 and 1
SIMILAR = 0.75  # the same for file names and ids, but higher because a shared extension makes file names similar


class RobenchError(Exception):
    """The base class of the errors that robench raises on purpose."""


class UserError(RobenchError):
    """A user's mistake in a suite, in a data file or on the command line.

    The command line prints the mistake on one line, without a traceback, and exits with code 2.

    Args:
        problem: a description of the mistake.
        where: the file or ``file:line`` of the mistake, if the mistake is in a file.
        path: the dotted path inside the file, for example ``attacks[0].epsilon``, or the name of an option.
        hint: advice for the user, such as the value that was probably meant.
    """

    def __init__(self, problem: str, *, where: str = "", path: str = "", hint: str = "") -> None:
        self.problem = problem
        self.where = where
        self.path = path
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        """Returns one line with the file, the path, the problem and the hint."""
        place = ": ".join(part for part in (self.where, self.path) if part)
        text = f"{place}: {self.problem}" if place else self.problem
        return " ".join((f"{text} ({self.hint})" if self.hint else text).split())

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles the error with its keyword arguments, so that a worker can send it."""
        return (_user_error, (type(self), self.problem, self.where, self.path, self.hint))


def _user_error(kind: type[UserError], problem: str, where: str, path: str, hint: str) -> UserError:
    return kind(problem, where=where, path=path, hint=hint)


class UserErrors(UserError):
    """Several user mistakes that are reported together."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))

    def __str__(self) -> str:
        """Returns one line per mistake."""
        return "\n".join(str(error) for error in self.errors)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles the error as the tuple of its parts."""
        return (UserErrors, (self.errors,))


class SettingError(ValueError):
    """A mistake in one setting of a component, found by the component's own checks.

    The host adds the position of the setting in the suite.

    Args:
        problem: a description of the mistake.
        field: the name of the setting.
        hint: advice for the user, such as a value to write.
    """

    def __init__(self, problem: str, field: str, hint: str = "") -> None:
        self.field, self.hint = field, hint
        super().__init__(problem)


class DataError(UserError):
    """An error about data or weights, such as a file that is missing or damaged."""


class ServiceError(UserError):
    """A failure of a service on another machine that a component depends on.

    Examples are a server that does not answer, a refused key, or a spending limit that has been reached. Every other
    cell that needs the service would fail in the same way, so the error ends the run. Cells that are already measured
    stay stored, and the next run continues after them.
    """


class PluginError(RobenchError):
    """A plugin's breach of its contract, such as a score that is not finite.

    If the measurement of an attack raises this error, only the cell of this attack fails. If the fit or a clean
    measurement raises this error, all cells that depend on the failed step fail.
    """


class SealedError(RobenchError):
    """An attempt to read a held-out test item before the victim is fitted."""


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun, such as ``1 cell`` or ``2 cells``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def in_lines(messages: Iterable[object]) -> Iterator[str]:
    """Yields each distinct message once, followed by its count if it is repeated."""
    for text, count in Counter(map(str, messages)).items():
        yield text if count == 1 else f"{text} ({count} times)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a hint that lists the known names and suggests a similar one, if any.

    The hint has the form ``did you mean 'x'? known: a, b, x``.

    Args:
        name: the unknown name.
        known: the known names.
    """
    options = sorted(known)
    listing = f"known: {', '.join(options)}" if options else "none is known"
    likely = likeliest(name, options)
    return f"did you mean '{likely}'? {listing}" if likely else listing


def suggest(name: str, known: Mapping[str, str], most: int = 3) -> str:
    """Returns a hint with the most similar names, or an empty string.

    The hint has the form ``did you mean 'a.csv' or 'b.csv'?``. The function suits long lists, such as file names or
    ids, because the hint does not list all known names.

    Args:
        name: the unknown name.
        known: the text to show for each known name.
        most: the maximum number of suggestions.
    """
    close = difflib.get_close_matches(name, sorted(known), n=most, cutoff=SIMILAR)
    return f"did you mean {' or '.join(repr(known[one]) for one in close)}?" if close else ""


def likeliest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name closest to ``name``, or None if no name is close."""
    folded = {option.casefold(): option for option in sorted(known, reverse=True)}
    closest = difflib.get_close_matches(name.casefold(), sorted(folded), n=1, cutoff=NEAR)
    return folded[closest[0]] if closest else None
