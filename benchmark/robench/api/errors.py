"""The errors of robench: what is the user's mistake, what is a plugin's, and what is a bug."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class RobenchError(Exception):
    """Base of every error that robench raises on purpose."""


class UserError(RobenchError):
    """A mistake in a suite, a data file or a command line: one line, exit code 2, no traceback.

    Args:
        problem: what is wrong, in words.
        where: ``file:line`` or the file, if there is one.
        path: dotted path inside the file, for example ``attacks[0].epsilon``.
        hint: what was probably meant.
    """

    def __init__(self, problem: str, *, where: str = "", path: str = "", hint: str = "") -> None:
        self.problem = problem
        self.where = where
        self.path = path
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        """One line: where, path, what is wrong, what was meant."""
        place = ": ".join(part for part in (self.where, self.path) if part)
        text = f"{place}: {self.problem}" if place else self.problem
        return " ".join((f"{text} ({self.hint})" if self.hint else text).split())

    def __reduce__(self) -> tuple[object, ...]:
        """Keyword arguments survive the trip from a worker process."""
        return (_user_error, (type(self), self.problem, self.where, self.path, self.hint))


def _user_error(kind: type[UserError], problem: str, where: str, path: str, hint: str) -> UserError:
    return kind(problem, where=where, path=path, hint=hint)


class UserErrors(UserError):
    """Several mistakes, reported at once, a line each."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))

    def __str__(self) -> str:
        """A line per mistake."""
        return "\n".join(str(error) for error in self.errors)

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuilt from its parts."""
        return (UserErrors, (self.errors,))


class SettingError(ValueError):
    """Raised by a validator of a whole ``Config``: a mistake of the setting ``field``, at whose place it is told."""

    def __init__(self, problem: str, field: str, hint: str = "") -> None:
        self.field, self.hint = field, hint
        super().__init__(problem)


class DataError(UserError):
    """A data file or table that cannot be read as interactions."""


class PluginError(RobenchError):
    """A plugin broke its contract (a non-finite score, a profile without its targets): costs its own cell."""


class SealedError(RobenchError):
    """A held-out test item was read before the victim's fit, selection and poisoning had ended."""


def counted(count: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def did_you_mean(name: str, known: Iterable[str], most: int | None = None) -> str:
    """A hint for an unknown ``name``: the closest known one, and the list, of the closest ``most`` where it is longer.

    Returns:
        ``did you mean 'x'? known: a, b, x``.
    """
    options = sorted(known)
    if most is not None and len(options) > most:
        closest = difflib.get_close_matches(name, options, n=most, cutoff=0.0)
        options, listing = closest, f"closest: {', '.join(closest)}"
    else:
        listing = f"known: {', '.join(options)}" if options else "none is known"
    likely = likeliest(name, options)
    return f"did you mean '{likely}'? {listing}" if likely else listing


def likeliest(name: str, known: Iterable[str]) -> str | None:
    """The known name that an unknown one was probably meant to be; None where no one is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)
