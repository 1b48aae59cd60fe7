"""Prompts, which are templates filled with the titles of a history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robench.api import DataError

DEFAULT = """\
Here is a list of titles that one person has chosen, one after another, the latest one last:
{history}
-"""
PLACEHOLDERS = re.compile(r"(\{history\}|\{profile\})")
BRACES = re.compile(r"\{\w*\}")
BULLET = "-"


class Tokenizer(Protocol):
    """A function from a string to its tokens."""

    def __call__(self, text: str, *, special: bool = False) -> list[int]:
        """Returns the tokens of a string.

        Args:
            text: any string.
            special: whether marks such as ``<|im_start|>`` in the text become special tokens.
        """
        ...


def load_template(setting: str | None) -> str:
    """Returns the template of a setting, without whitespace at its end.

    Args:
        setting: a template with ``{history}``, the path of a file with a template, or None for the default.

    Raises:
        DataError: if the file cannot be read, if ``{history}`` does not occur exactly once, if ``{profile}`` occurs
            more than once, or if there are other names in braces.
    """
    if setting is None:
        return DEFAULT
    text, where = setting, ""
    if "{history}" not in setting:
        if any(sign in setting for sign in "{}\n"):
            raise DataError("a prompt holds {history} once, and {profile} at most once")
        where = setting
        try:
            text = Path(setting).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, RuntimeError) as error:  # RuntimeError if ~ belongs to an unknown user
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", str(error))
            raise DataError(f"no prompt: {reason}", where=where, hint="a template with {history}, or a file") from None
    if text.count("{history}") != 1 or text.count("{profile}") > 1:
        raise DataError("a prompt holds {history} once, and {profile} at most once", where=where)
    if other := next((name for name in BRACES.findall(text) if not PLACEHOLDERS.fullmatch(name)), ""):
        raise DataError(f"a prompt holds {{history}} and {{profile}}, and no {other}", where=where)
    return text.rstrip()  # the tokens of a title begin with a space


@dataclass(frozen=True)
class Prompt:
    """A filled template.

    Args:
        ids: the tokens of the prompt.
        own: whether each token belongs to a title.
        cut: whether titles were shortened or left out.
    """

    ids: list[int]
    own: list[bool]
    cut: bool


class Template:
    """A tokenised template.

    The titles form a list with one line each (``- Heat``), with the latest at the end. Every part is tokenised by
    itself. So a title has the same tokens in every position. No title can contain the special tokens that mark the
    speaker in a chat.

    Args:
        text: the template, with ``{history}`` and optionally ``{profile}``.
        tokens: the tokenizer.
        start: the tokens at the beginning of every prompt.
        limit: the maximum number of tokens that a prompt and a candidate title have together.

    Attributes:
        room: the maximum number of tokens per title.

    Raises:
        DataError: if the template without titles takes more than half of the limit.
    """

    def __init__(self, text: str, tokens: Tokenizer, start: Sequence[int], limit: int) -> None:
        self._tokens, self._start, self.limit = tokens, list(start), limit
        self.room = limit // 4
        self._parts = [
            part if PLACEHOLDERS.fullmatch(part) else tokens(part, special=True)
            for part in PLACEHOLDERS.split(text)
            if part
        ]
        self._first_mark, self._next_mark = tokens(BULLET), tokens(f"\n{BULLET}")
        bare = len(self.fill([]).ids)
        if bare > limit // 2:
            raise DataError(f"the prompt takes {bare} tokens without any title, and may take at most half of {limit}")

    def fill(
        self, titles: Sequence[Sequence[int]], profile: str = "", years: Sequence[Sequence[int]] | None = None
    ) -> Prompt:
        """Returns the prompt for a history.

        Every title is cut after ``room`` tokens. The oldest titles are left out if the prompt would be too long.

        Args:
            titles: the tokens of each title, oldest first.
            profile: a text about the user.
            years: the tokens that follow each title and do not belong to it, or None for no such tokens.
        """
        profile_tokens = self._tokens(profile) if profile else []
        fixed = (
            len(self._start) + len(profile_tokens) + sum(len(part) for part in self._parts if not isinstance(part, str))
        )
        included, left = [], self.limit - self.room - fixed
        for title, year in zip(reversed(titles), reversed(years or [[]] * len(titles)), strict=True):
            short = title[: self.room]
            left -= len(short) + len(year) + len(self._next_mark)
            if left < 0:
                break
            included.append((short, year))
        ids, own = list(self._start), [False] * len(self._start)
        for part in self._parts:
            if part == "{history}":
                for number, (title, year) in enumerate(reversed(included)):
                    mark = self._next_mark if number else self._first_mark
                    ids += [*mark, *title, *year]
                    own += [False] * len(mark) + [True] * len(title) + [False] * len(year)
            else:
                fill = profile_tokens if isinstance(part, str) else part
                ids += fill
                own += [False] * len(fill)
        return Prompt(ids, own, sum(own) < sum(map(len, titles)))
