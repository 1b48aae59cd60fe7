"""Content-based recommendation by the TF-IDF of item texts."""

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
from robench.api.component import search
from robench.api.models.base import ColdItem, ColdUser
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.sparse_matrix import Matrix, from_state, to_state


class Content(HistoryModel):
    """Scores an item by the cosine between its text and the texts of the history.

    A text consists of the words of the title and the description, the year and the genres. Words are weighted by
    TF-IDF. The method is the vector space model of Lops et al. (Recommender Systems Handbook 2011, section 3.3.1.1).
    The model learns nothing from other users, so fake users do not affect it. An item without interactions is treated
    like any other.
    """

    class Config(BaseConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        sublinear: bool = Field(
            default=False,
            description="Whether 1 + ln(term frequency) replaces the frequency",
            json_schema_extra=search(choices=[False, True]),
        )
        min_items: int = Field(
            default=5,
            ge=1,
            description="Minimum number of items that a word must occur in",
            json_schema_extra=search(choices=[1, 2, 5, 10]),
        )

    config: Config
    cold_user: ClassVar[ColdUser] = "content"
    cold_item: ClassVar[ColdItem] = "content"
    reads_text: ClassVar[bool] = True
    reads_of: ClassVar[tuple[str, ...]] = ("title", "year", "genres", "description")
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history", "text"})
    features: Matrix
    vectorizer: TfidfVectorizer

    def learn(self, data: TrainData) -> None:
        """Learns the weights of words from the catalogue.

        Raises:
            DataError: if no word occurs in at least ``min_items`` items.
        """
        self.features = self._fit_vectorizer(data)

    def _fit_vectorizer(self, data: TrainData) -> Matrix:
        """Learns the word weights and returns the TF-IDF vectors of all items.

        Returns:
            The vectors as the rows of a sparse matrix, float32 [n_items, words].

        Raises:
            DataError: if no word occurs in at least ``min_items`` items.
        """
        c = self.config
        self.vectorizer = TfidfVectorizer(
            analyzer=str.split, sublinear_tf=c.sublinear, min_df=c.min_items, dtype=np.float32
        )
        try:
            texts = [words_of(item) for item in data.catalogue.items]
            return sparse.csr_array(self.vectorizer.fit_transform(texts))
        except ValueError:
            raise DataError(
                f"content needs words, years or genres that min_items = {c.min_items} items share, and there are none"
            ) from None

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the cosine between each history and each item, float32 [B, n_items].

        The cosines are in [0, 1].
        """
        profiles = rows @ self.features
        lengths = np.sqrt(profiles.multiply(profiles).sum(1))
        dots: NDArray[np.float32] = (profiles @ self.features.T).toarray()
        return dots / np.where(lengths > 0, lengths, 1).astype(np.float32)[:, None]

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the catalogue's sparse matrix [n_items, words] as named arrays.

        Every row has length 1, or 0 if the item has no known word.
        """
        return to_state("features", self.features)

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the rows of the catalogue and learns the weights of words again."""
        self._fit_vectorizer(data)
        self.features = from_state("features", state)

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a copy of this model with new texts for some items.

        The weights of words do not change.

        Args:
            items: the new descriptions, by row of the catalogue.
        """
        model = copy.copy(self)
        if items:
            rows = sparse.csr_array(self.vectorizer.transform([words_of(item) for item in items.values()]))
            row_of_item = np.arange(self.features.shape[0])
            row_of_item[list(items)] = self.features.shape[0] + np.arange(len(items))
            model.features = sparse.vstack([self.features, rows], format="csr")[row_of_item]
        return model


def words_of(item: Item) -> str:
    """Returns the text of an item, in which words are separated by spaces.

    The words of the title and the description come first, in lower case and with only letters and digits. The year, the
    decade and the genres follow, as in ``year:1995 decade:199 genre:Crime``.
    """
    text = f"{item.title} {item.description}".rstrip()
    text = "".join(c if c.isalnum() else " " for c in text.lower())
    year = "" if item.year is None else f"year:{item.year} decade:{item.year // 10}"
    return " ".join([text, year, *(f"genre:{genre.replace(' ', '_')}" for genre in item.genres)])
