"""Converts titles to the word order that people use."""

from __future__ import annotations

import re

# MovieLens and other catalogues move an article to the end, so that titles can be sorted.
ARTICLES = (
    "The", "An", "A", "Les", "Le", "La", "L'", "Une", "Un", "Der", "Die", "Das", "Den", "Ein", "Eine", "Il", "Lo",
    "Gli", "I", "El", "Los", "Las", "Una", "O", "Os", "De", "Het", "Det", "En",
)  # fmt: skip
MOVED = re.compile(rf"(?:^|(?<=\())((?:a\.k\.a\. )?)([^()]+?), ({'|'.join(ARTICLES)})(?=\)| \(|$)")


def natural_title(title: str) -> tuple[str, list[int]]:
    """Moves an article from the end of a title to its beginning.

    ``Postman, The (Postino, Il)`` becomes ``The Postman (Il Postino)``. Titles in parentheses change in the same way. A
    title without such an article stays the same.

    Returns:
        The new title, and the index in ``title`` of each character. The index is −1 for an added space.
    """
    text, places, end = "", [], 0
    for match in MOVED.finditer(title):
        gap = "" if match[3].endswith("'") else " "
        text += title[end : match.end(1)] + match[3] + gap + match[2]
        places += [*range(end, match.end(1)), *range(*match.span(3)), *[-1] * len(gap), *range(*match.span(2))]
        end = match.end()
    return text + title[end:], [*places, *range(end, len(title))]
