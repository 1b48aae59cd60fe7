"""Forms of numbers that a suite does not take, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_LEADING_ZERO = re.compile(
    r"[-+]?(0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|0[0-9]+(\.[0-9]+)?/[0-9.]+|[0-9.]+/0[0-9]+(\.[0-9]+)?)\Z"
)
FEWEST = 4  # the smallest number of words that look like numbers with decimal commas: two such numbers
_DIGITS = re.compile(r"[0-9]+\Z")


def has_leading_zero(word: str) -> bool:
    """Returns whether a word is a number with a leading zero, such as ``05``.

    The result is also true for a fraction with such a part. The meaning of such a word is not clear: it may be an id,
    or the digits after a decimal comma.
    """
    return _LEADING_ZERO.match(word) is not None


def suggest_without_zero(word: str, before: str | None) -> str:
    """Returns a hint about a number with a leading zero.

    Args:
        word: the number.
        before: the word before it in a list, or None.
    """
    text = f"'{word}'"
    if before is not None and (joined := suggest_joined(before, word)):
        return f"{joined}? text is quoted: {text}"
    sign, digits = (word[0], word[1:]) if word[0] in "+-" else ("", word)
    if "/" in digits:
        return f"write it without the zero, or {text} if it is text"
    return f"write {sign}{re.sub(r'^0+(?=[0-9])', '', digits)}, or {text} if it is text"


def suggest_joined(before: str, word: str) -> str:
    """Returns a hint about a number that a comma has cut into two words.

    The hint is empty if the words make no number.

    Args:
        before: the word before the comma.
        word: the word after the comma.
    """
    return suggest_number(f"{before},{word}") if _DIGITS.match(word) else ""


def suggest_number(text: str) -> str:
    """Returns a hint about a text in place of a number, or an empty string.

    The text may be a quoted number, or have a decimal comma, separators of thousands, or a percent sign.
    """
    text = text.strip()
    hint = next((describe for form, describe in _FORMS if form.match(text)), None)
    return hint(text) if hint and not has_leading_zero(text) else ""


def suggest_pairs(values: Sequence[Any]) -> str:
    """Returns a hint about whole numbers that may be numbers with decimal commas.

    ``[0, 25, 0, 75]`` is what YAML reads from ``[0,25, 0,75]``. The hint is empty for other lists.
    """
    whole = all(type(value) is int for value in values)
    if not whole or len(values) % 2 or len(values) < FEWEST or any(value < 0 for value in values[1::2]):
        return ""
    numbers = ", ".join(f"{first}.{second}" for first, second in zip(values[::2], values[1::2], strict=True))
    return f"a decimal point, not a comma: write [{numbers}]?"


def _pointed(text: str) -> str:
    """Returns a number with a point in place of its comma."""
    return re.sub(r"^([-+]?)\.", r"\g<1>0.", text.replace(",", "."))


def _joined(text: str) -> str:
    """Returns a whole number without the separators of its thousands."""
    return re.sub(r"[^-+0-9]", "", text)


def _suggest_whole(text: str) -> str:
    pointed = f" or {_pointed(text)}" if text.count(",") == 1 else ""
    return f"no comma in a number: write {_joined(text)}{pointed}"


def _suggest_grouped(text: str) -> str:
    whole, sign, rest = re.split(r"([.,])(?=[0-9]+\Z)", text)
    point = "a decimal point, and " if sign == "," else ""
    return f"{point}nothing between thousands: write {_joined(whole)}.{rest}"


def _suggest_share(text: str) -> str:
    return f"a share, not a percentage: write {float(_pointed(text.rstrip(' %'))) / 100:.12g}"


# the forms that a number may have by mistake; the first that matches counts
_FORMS: Sequence[tuple[re.Pattern[str], Callable[[str], str]]] = (
    (
        re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z"),
        "without quotes: write {}".format,
    ),
    (re.compile(r"[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+\Z"), _suggest_whole),
    (
        re.compile(r"[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?\Z"),
        lambda text: f"a decimal point, not a comma: write {_pointed(text)}",
    ),
    (re.compile(r"[-+]?[0-9]{1,3}([. '’][0-9]{3})+,[0-9]+\Z"), _suggest_grouped),
    (re.compile(r"[-+]?[0-9]{1,3}([, '’][0-9]{3})+\.[0-9]+\Z"), _suggest_grouped),
    (re.compile(r"[-+]?[0-9]+([.,][0-9]+)? ?%\Z"), _suggest_share),
)
