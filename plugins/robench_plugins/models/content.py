"""Content: items whose texts are like those of the items that a user liked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from robench.api import BaseConfig, DataError, IntArray, Item, Surface, TrainData
from robench.api.models.base import ColdItem, ColdUser
from robench_plugins.models.from_history import FromHistory
from robench_plugins.models.sparse import Matrix, from_state, to_state


class Content(FromHistory):
    """TF-IDF of words of title and description, year and genres; s(u, i) = cosine of item i and the mean of the user's
    items.

    The vector space model of Lops et al. (Recommender Systems Handbook 2011, section 3.3.1.1). It learns nothing from
    other users, so fake ones cannot touch it; an item that nobody has used is treated like any other.
    """

    class Config(BaseConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        sublinear: bool = Field(default=False, description="1 + ln(term frequency) in place of the frequency")
        min_items: int = Field(default=5, ge=1, description="words of fewer items are left out")

    config: Config
    cold_user: ClassVar[ColdUser] = "content"
    cold_item: ClassVar[ColdItem] = "content"
    reads_text: ClassVar[bool] = True
    reads_of: ClassVar[tuple[str, ...]] = ("title", "year", "genres", "description")
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history", "text"})
    features: Matrix
    vectorizer: TfidfVectorizer

    def learn(self, data: TrainData) -> None:
        """Weigh the words of the catalogue.

        Raises:
            DataError: no item has a text.
        """
        self.features = self._weighed(data)

    def _weighed(self, data: TrainData) -> Matrix:
        """Learn the words' weights from the catalogue; its TF-IDF rows."""
        c = self.config
        self.vectorizer = TfidfVectorizer(
            analyzer=str.split, sublinear_tf=c.sublinear, min_df=c.min_items, dtype=np.float32
        )
        try:
            texts = [words(item) for item in data.catalogue.items]
            return sparse.csr_array(self.vectorizer.fit_transform(texts))
        except ValueError:
            raise DataError(
                f"content needs words, years or genres that min_items = {c.min_items} items share, and there are none"
            ) from None

    def of(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Cosines, in [0, 1]."""
        profiles = rows @ self.features
        lengths = np.sqrt(profiles.multiply(profiles).sum(1))
        found: NDArray[np.float32] = (profiles @ self.features.T).toarray()
        return found / np.where(lengths > 0, lengths, 1).astype(np.float32)[:, None]

    def learnt(self) -> Mapping[str, NDArray[np.generic]]:
        """TF-IDF rows of length 1, sparse [n_items, words]."""
        return to_state("features", self.features)

    def recall(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take them; the words' weights are those of the catalogue."""
        self._weighed(data)
        self.features = from_state("features", state)

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """The same words' weights on other texts."""
        found = copy.copy(self)
        if items:
            rows = sparse.csr_array(self.vectorizer.transform([words(item) for item in items.values()]))
            place = np.arange(self.features.shape[0])
            place[list(items)] = self.features.shape[0] + np.arange(len(items))
            found.features = sparse.vstack([self.features, rows], format="csr")[place]
        return found


def words(item: Item) -> str:
    """The words of an item: those of title and description, lower case, letters and digits only, then ``year:`` and
    ``genre:`` words.
    """
    text = f"{item.title} {item.description}".rstrip()
    text = "".join(c if c.isalnum() else " " for c in text.lower())
    year = "" if item.year is None else f"year:{item.year} decade:{item.year // 10}"
    return " ".join([text, year, *(f"genre:{genre.replace(' ', '_')}" for genre in item.genres)])
