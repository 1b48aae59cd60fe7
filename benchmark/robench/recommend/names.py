"""Finds items by the names that people write.

A name is a title, a title with a year, or an id.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from robench.api.data import Catalogue
from robench.api.errors import UserError

_ARTICLES = "the|a|an|le|la|les|l'|el|los|las|il|lo|i|gli|der|die|das|un|une|ein|eine|o|os|as"
_MOVED = re.compile(rf"(?P<rest>.+), (?P<article>{_ARTICLES})\Z")
_YEAR = re.compile(r"(?P<rest>.+?) \((?P<year>[12][0-9]{3})\)\Z")
_ASIDE = re.compile(r"(?P<rest>.+?) \((?:a\.?k\.?a\.? )?(?P<other>[^()]+)\)\Z")


def normal(text: str) -> str:
    """Returns a name in lower case, with uniform spaces.

    One space separates words, follows each comma, and precedes each opening bracket.
    """
    return re.sub(r" ?\(", " (", re.sub(r" ?, ?", ", ", " ".join(text.casefold().split()))).strip()


class Titles:
    """An index that finds the items of a catalogue by name.

    An item can be named by its id, its title or ``title (year)``. "The Matrix" also finds "Matrix, The". "Seven" also
    finds "Seven (a.k.a. Se7en)", unless the full title of another item is "Seven". ``id:7`` is always an id.

    Args:
        catalogue: the items.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.exact: dict[str, set[int]] = {}
        self.loose: dict[str, set[int]] = {}
        for number, item in enumerate(catalogue.items):
            name = catalogue.ids[number]
            for own in (name, f"id:{name}"):
                self.exact.setdefault(normal(own), set()).add(number)
            dated = _YEAR.match(normal(item.title))
            title = dated["rest"] if dated else normal(item.title)
            year = dated["year"] if dated else item.year
            for names, called in ((self.exact, [title]), (self.loose, _asides(title))):
                for one in (form for text in called if text for form in _orders(text)):
                    for whole in (one, *([] if year is None else [f"{one} ({year})"])):
                        names.setdefault(whole, set()).add(number)

    def shown(self, item: int) -> str:
        """Returns the title of an item with its year, such as ``Matrix, The (1999)``.

        If the year is unknown, it is left out. An item without a title is shown by its id.
        """
        title, year = self.catalogue.title(item), self.catalogue.items[item].year
        return title if year is None or _YEAR.match(title) else f"{title} ({year})"

    def unique(self, item: int) -> str:
        """Returns a name that no other item has."""
        shown = self.shown(item)
        return shown if self.exact.get(normal(shown)) == {item} else f"id:{self.catalogue.ids[item]}"

    def called(self, name: str) -> list[int]:
        """Returns the items with this name, in ascending order.

        If no item has the full name, the function searches the names that come before or inside the brackets of titles.
        """
        key = normal(name)
        return sorted(self.exact.get(key) or self.loose.get(key) or ())

    def read(self, text: str, path: str) -> list[int]:
        """Returns the items of a comma-separated list, in order and without repeats.

        Titles may contain commas too. Therefore, each item is the longest sequence of pieces that forms a known name.

        Args:
            text: the list that the user typed.
            path: the name of the command-line option, for error messages.

        Raises:
            UserError: if the list is empty, a name is unknown, or several items have the same name.
        """
        pieces = [piece.strip() for piece in text.split(",")]
        pieces = [piece for piece in pieces if piece]
        if not pieces:
            raise UserError("no item is named", path=path, hint='for example --items "Toy Story, Heat"')
        items: list[int] = []
        start = 0
        while start < len(pieces):
            for end in range(len(pieces), start, -1):
                name = ", ".join(pieces[start:end])
                meant = self.called(name)
                if meant:
                    break
            else:
                raise self._unknown(pieces[start:], path)
            if len(meant) > 1:
                choices = " or ".join(self._choice(item) for item in meant)
                raise UserError(f"'{name}' is the name of {len(meant)} items", path=path, hint=f"write {choices}")
            items.append(meant[0])
            start = end
        return list(dict.fromkeys(items))

    def _choice(self, item: int) -> str:
        name = self.unique(item)
        return f"'{name}'" if name == self.shown(item) else f"'{name}' for {self.shown(item)}"

    def _unknown(self, pieces: list[str], path: str) -> UserError:
        """Returns the error for an unknown name, with suggestions of similar items."""
        names = {*self.exact, *self.loose}
        best, text, close = 0.0, pieces[0], list[str]()
        for end in range(1, min(len(pieces), 3) + 1):
            run = normal(", ".join(pieces[:end]))
            nearest = difflib.get_close_matches(run, names, n=5, cutoff=0.6)
            ratio = difflib.SequenceMatcher(None, nearest[0], run).ratio() if nearest else 0.0
            if ratio > best:
                best, text, close = ratio, ", ".join(pieces[:end]), nearest
        meant = dict.fromkeys(self.unique(item) for name in close for item in self.called(name))
        hint = f"did you mean {_either(list(meant)[:3])}?" if meant else "titles and ids are those of the data set"
        return UserError(f"no item '{text}' among {len(self.catalogue.ids)}", path=path, hint=hint)


def _either(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def _orders(title: str) -> list[str]:
    """Returns a title and, if its article is last, a form with the article first.

    For example, ``matrix, the`` gives ``matrix, the`` and ``the matrix``. Other titles are returned alone.
    """
    moved = _MOVED.match(title)
    if moved is None:
        return [title]
    article = moved["article"]
    return [title, f"{article}{'' if article.endswith(chr(39)) else ' '}{moved['rest']}"]


def _asides(title: str) -> list[str]:
    """Returns the parts of a title before and inside its final brackets.

    The result is empty if the title does not end with brackets.
    """
    aside = _ASIDE.match(title)
    return [] if aside is None else [aside["rest"], aside["other"]]
