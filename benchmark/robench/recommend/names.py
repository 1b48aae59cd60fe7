"""Items as people write them: titles, titles with their year, ids."""

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
    """Letter case, runs of blanks and blanks around commas and before brackets do not count."""
    return re.sub(r" ?\(", " (", re.sub(r" ?, ?", ", ", " ".join(text.casefold().split()))).strip()


class Titles:
    """The names of a catalogue's items.

    An item is called by its id, its title or ``title (year)``; "The Matrix" is "Matrix, The", and "Seven" is "Seven
    (a.k.a. Se7en)" where nothing else is called so. ``id:7`` is an id and nothing else.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.exact: dict[str, set[int]] = {}
        self.loose: dict[str, set[int]] = {}
        for number, item in enumerate(catalogue.items):
            name = catalogue.ids[number]
            for own in (name, f"id:{name}"):
                self.exact.setdefault(normal(own), set()).add(number)
            found = _YEAR.match(normal(item.title))
            title = found["rest"] if found else normal(item.title)
            year = found["year"] if found else item.year
            for names, called in ((self.exact, [title]), (self.loose, _asides(title))):
                for one in (form for text in called if text for form in _orders(text)):
                    for whole in (one, *([] if year is None else [f"{one} ({year})"])):
                        names.setdefault(whole, set()).add(number)

    def shown(self, item: int) -> str:
        """``Matrix, The (1999)``; the id of an item without a title."""
        title, year = self.catalogue.title(item), self.catalogue.items[item].year
        return title if year is None or _YEAR.match(title) else f"{title} ({year})"

    def unique(self, item: int) -> str:
        """A name that means this item alone."""
        shown = self.shown(item)
        return shown if self.exact.get(normal(shown)) == {item} else f"id:{self.catalogue.ids[item]}"

    def called(self, name: str) -> list[int]:
        """The items that a name may mean, whole titles before parts of them."""
        key = normal(name)
        return sorted(self.exact.get(key) or self.loose.get(key) or ())

    def read(self, text: str, path: str) -> list[int]:
        """The items of a list with commas, in its order, each once.

        A title may hold commas itself: the longest run of pieces that is a name counts.

        Args:
            text: as typed.
            path: the option, for messages.

        Raises:
            UserError: nothing is named, a name is unknown, or it means several items.
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
        """What was probably meant: the run of pieces that is nearest to a name decides."""
        names = {*self.exact, *self.loose}
        best, text, close = 0.0, pieces[0], list[str]()
        for end in range(1, min(len(pieces), 3) + 1):
            run = normal(", ".join(pieces[:end]))
            found = difflib.get_close_matches(run, names, n=5, cutoff=0.6)
            ratio = difflib.SequenceMatcher(None, found[0], run).ratio() if found else 0.0
            if ratio > best:
                best, text, close = ratio, ", ".join(pieces[:end]), found
        meant = dict.fromkeys(self.unique(item) for name in close for item in self.called(name))
        hint = f"did you mean {_either(list(meant)[:3])}?" if meant else "titles and ids are those of the data set"
        return UserError(f"no item '{text}' among {len(self.catalogue.ids)}", path=path, hint=hint)


def _either(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def _orders(title: str) -> list[str]:
    """``matrix, the`` and ``the matrix``."""
    moved = _MOVED.match(title)
    if moved is None:
        return [title]
    article = moved["article"]
    return [title, f"{article}{'' if article.endswith(chr(39)) else ' '}{moved['rest']}"]


def _asides(title: str) -> list[str]:
    """What stands before and in the brackets at the end of a title."""
    found = _ASIDE.match(title)
    return [] if found is None else [found["rest"], found["other"]]
