"""Compares the spelling of old and new titles.

No victim reads titles in this way, so an attack on a victim is not also an attack on this similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from robench.api.data import FloatArray

SIZES = (2, 4)  # the numbers of characters in a piece of a word
BUCKETS = 2**20


@cache
def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415  # takes a second to import

    # Without weights from a corpus, two titles have the same similarity in every catalogue.
    return HashingVectorizer(analyzer="char_wb", ngram_range=SIZES, n_features=BUCKETS, alternate_sign=False)


def spelling_similarity(old: Sequence[str], new: Sequence[str]) -> FloatArray:
    """Returns the cosine of the n-grams of each old and new title, float64 [n].

    A title is the vector of the counts of its pieces of 2 to 4 characters. A piece lies within a word, with a space
    before and after the word. Case and the order of the words do not matter. The cosine is 0 if a title has no words.
    """
    if not old:
        return np.zeros(0)
    one, two = _vectorizer().transform(list(old)), _vectorizer().transform(list(new))
    return np.asarray(one.multiply(two).sum(1), dtype=np.float64).ravel()
