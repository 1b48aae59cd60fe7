"""The versions of MovieLens that ``robench data prepare`` downloads."""

from __future__ import annotations

from typing import ClassVar

from robench.api import Dataset, DatasetConfig, Ratings
from robench.api.download import Download
from robench_plugins.datasets.movielens import LICENCE, digest_movielens, read_movielens

FILES = "https://files.grouplens.org/datasets/movielens"
# The pages on which the checksums of GroupLens (NAME.zip.md5) and the sizes were read.
CHECKSUMS = "https://github.com/eli-osherovich/papers_with_code (datasets/movielens/dl_config.py)"
SIZES = "https://raw.githubusercontent.com/tensorflow/datasets/master/tensorflow_datasets/url_checksums/movielens.txt"


QUOTED = f"several public repositories that quote {FILES}/ml-32m.zip.md5"


class KnownMovieLens(Dataset):
    """Reads a version of MovieLens from the folder of its unpacked download."""

    Config: ClassVar[type[DatasetConfig]] = DatasetConfig
    licence: ClassVar[str] = LICENCE

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        return digest_movielens(self.unpacked())

    def load(self) -> Ratings:
        """Returns the ratings in the order of the file, with movies and users."""
        return read_movielens(self.unpacked())


class MovieLens100K(KnownMovieLens):
    """Reads MovieLens 100K: 100,000 ratings of 1,682 movies by 943 users."""

    source: ClassVar[str] = "https://grouplens.org/datasets/movielens/100k/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{FILES}/ml-100k.zip", 4_924_029, "md5:0e33842e24a9c977be4e0107933c0723", (CHECKSUMS, SIZES)),
    )


class MovieLens1M(KnownMovieLens):
    """Reads MovieLens 1M: 1,000,209 ratings by 6,040 users."""

    source: ClassVar[str] = "https://grouplens.org/datasets/movielens/1m/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{FILES}/ml-1m.zip", 5_917_549, "md5:c4d9eecfca2ab87c1945afe126590906", (CHECKSUMS, SIZES)),
    )


class MovieLens10M(KnownMovieLens):
    """Reads MovieLens 10M, about 10 million ratings."""

    source: ClassVar[str] = "https://grouplens.org/datasets/movielens/10m/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{FILES}/ml-10m.zip", None, "md5:ce571fd55effeba0271552578f2648bd", (CHECKSUMS,)),
    )


class MovieLens20M(KnownMovieLens):
    """Reads MovieLens 20M: 20,000,263 ratings by 138,493 users."""

    source: ClassVar[str] = "https://grouplens.org/datasets/movielens/20m/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{FILES}/ml-20m.zip", 198_702_078, "md5:cd245b17a1ae2cc31bb14903e1204af3", (CHECKSUMS, SIZES)),
    )


class MovieLens25M(KnownMovieLens):
    """Reads MovieLens 25M, about 25 million ratings."""

    source: ClassVar[str] = "https://grouplens.org/datasets/movielens/25m/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{FILES}/ml-25m.zip", 261_978_986, "md5:6b51fb2759a8657d3bfcbfc42b592ada", (CHECKSUMS, SIZES)),
    )


class MovieLens32M(KnownMovieLens):
    """Reads MovieLens 32M: 32,000,204 ratings by 200,948 users until 2023.

    The checksum comes from public code that quotes ``ml-32m.zip.md5`` of GroupLens.
    """

    source: ClassVar[str] = "https://files.grouplens.org/datasets/movielens/ml-32m-README.html"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{FILES}/ml-32m.zip", 238_950_008, "md5:d472be332d4daa821edc399621853b57", (QUOTED,)),
    )


class MovieLensLatestSmall(KnownMovieLens):
    """Reads the current MovieLens latest-small, which GroupLens updates now and then.

    The publisher states a checksum only for the current version, so robench checks none.
    """

    source: ClassVar[str] = "https://grouplens.org/datasets/movielens/latest/"
    downloads: ClassVar[tuple[Download, ...]] = (Download(f"{FILES}/ml-latest-small.zip"),)
