"""What a language model reads of a user: a template with the titles of the history in it."""

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
FIELDS = re.compile(r"(\{history\}|\{profile\})")
NAMED = re.compile(r"\{\w*\}")
BULLET = "-"


class Tokenizer(Protocol):
    """What gives a text's tokens."""

    def __call__(self, text: str, *, special: bool = False) -> list[int]:
        """``special``: marks such as ``<|im_start|>`` in it have their own meaning."""
        ...


def template_of(setting: str | None) -> str:
    """The default, a template as it is, or the one in a file.

    Args:
        setting: None, a text that holds ``{history}``, or a path.

    Raises:
        DataError: there is no such file, ``{history}`` does not stand in it exactly once, or another name in braces.
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
        except (OSError, UnicodeDecodeError, RuntimeError) as error:  # the last: ~ of nobody
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", str(error))
            raise DataError(f"no prompt: {reason}", where=where, hint="a template with {history}, or a file") from None
    if text.count("{history}") != 1 or text.count("{profile}") > 1:
        raise DataError("a prompt holds {history} once, and {profile} at most once", where=where)
    if other := next((name for name in NAMED.findall(text) if not FIELDS.fullmatch(name)), ""):
        raise DataError(f"a prompt holds {{history}} and {{profile}}, and no {other}", where=where)
    return text.rstrip()  # a title's tokens begin with its blank


@dataclass(frozen=True)
class Prompt:
    """A filled template.

    Args:
        ids: its tokens.
        own: which of them are of a title.
        cut: whether titles were left out or cut, so that it fits.
    """

    ids: list[int]
    own: list[bool]
    cut: bool


class Template:
    """A template by tokens. Titles stand in it as a list, ``- Heat``, a line each, the latest last.

    Every part is tokenised by itself: so a title has the same tokens wherever it stands, and no title can bring in the
    marks by which chat models tell who speaks.

    Args:
        text: with ``{history}``, and ``{profile}`` where something is known of users.
        tokens: the tokenizer.
        start: tokens before everything.
        limit: tokens of a prompt and a title at most.

    Raises:
        DataError: the bare template takes more than half of the limit.
    """

    def __init__(self, text: str, tokens: Tokenizer, start: Sequence[int], limit: int) -> None:
        self._tokens, self._start, self.limit = tokens, list(start), limit
        self.room = limit // 4  # for one title
        self._parts = [
            part if FIELDS.fullmatch(part) else tokens(part, special=True) for part in FIELDS.split(text) if part
        ]
        self._first, self._next = tokens(BULLET), tokens(f"\n{BULLET}")
        bare = len(self.filled([]).ids)
        if bare > limit // 2:
            raise DataError(f"the prompt takes {bare} tokens without any title, and {limit} are there for it and them")

    def filled(self, titles: Sequence[Sequence[int]], profile: str = "") -> Prompt:
        """With the tokens of titles, the latest last, of which the oldest are left out where the room does not suffice.

        Args:
            profile: what is known of the user besides.
        """
        known = self._tokens(profile) if profile else []
        fixed = len(self._start) + len(known) + sum(len(part) for part in self._parts if not isinstance(part, str))
        kept, left = [], self.limit - self.room - fixed
        for title in reversed(titles):
            short = title[: self.room]
            left -= len(short) + len(self._next)
            if left < 0:
                break
            kept.append(short)
        ids, own = list(self._start), [False] * len(self._start)
        for part in self._parts:
            if part == "{history}":
                for number, title in enumerate(reversed(kept)):
                    mark = self._next if number else self._first
                    ids += [*mark, *title]
                    own += [False] * len(mark) + [True] * len(title)
            else:
                fill = known if isinstance(part, str) else part
                ids += fill
                own += [False] * len(fill)
        return Prompt(ids, own, sum(map(len, kept)) < sum(map(len, titles)))
