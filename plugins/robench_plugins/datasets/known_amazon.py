"""The parts of Amazon's reviews that ``robench data prepare`` downloads.

The publishers state neither the sizes nor the checksums of these files.
"""

from __future__ import annotations

from typing import ClassVar

from robench.api import Dataset, DatasetConfig, Ratings
from robench.api.download import Download
from robench_plugins.datasets.amazon import LICENCE, read_amazon
from robench_plugins.datasets.reading.opening import digest_of

OF_2014 = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
OF_2018 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
OF_2023 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"


class KnownAmazon(Dataset):
    """Reads a downloaded file of reviews or ratings, with its metadata.

    Every user and every product has at least five reviews (5-core).
    """

    Config: ClassVar[type[DatasetConfig]] = DatasetConfig
    licence: ClassVar[str] = LICENCE

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        return digest_of(self.unpacked() / one.name for one in self.downloads)

    def load(self) -> Ratings:
        """Returns the ratings in the order of the file, with the products."""
        reviews, metadata = (self.unpacked() / one.name for one in self.downloads)
        return read_amazon(reviews, metadata)


class AmazonBeauty2014(KnownAmazon):
    """Reads Amazon Beauty of 2014, 5-core: 198,502 reviews."""

    source: ClassVar[str] = "https://jmcauley.ucsd.edu/data/amazon/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{OF_2014}/reviews_Beauty_5.json.gz"),
        Download(f"{OF_2014}/meta_Beauty.json.gz"),
    )


class AmazonVideoGames2014(KnownAmazon):
    """Reads Amazon Video Games of 2014, 5-core."""

    source: ClassVar[str] = "https://jmcauley.ucsd.edu/data/amazon/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{OF_2014}/reviews_Video_Games_5.json.gz"),
        Download(f"{OF_2014}/meta_Video_Games.json.gz"),
    )


class AmazonVideoGames2018(KnownAmazon):
    """Reads Amazon Video Games of 2018, 5-core."""

    source: ClassVar[str] = "https://nijianmo.github.io/amazon/"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{OF_2018}/categoryFilesSmall/Video_Games_5.json.gz"),
        Download(f"{OF_2018}/metaFiles2/meta_Video_Games.json.gz"),
    )


class AmazonBeauty2023(KnownAmazon):
    """Reads Amazon Beauty and Personal Care of 2023, 5-core: 6.6 million ratings."""

    source: ClassVar[str] = "https://amazon-reviews-2023.github.io/data_processing/5core.html"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{OF_2023}/benchmark/5core/rating_only/Beauty_and_Personal_Care.csv.gz"),
        Download(f"{OF_2023}/raw/meta_categories/meta_Beauty_and_Personal_Care.jsonl.gz"),
    )


class AmazonVideoGames2023(KnownAmazon):
    """Reads Amazon Video Games of 2023, 5-core: 814,600 ratings."""

    source: ClassVar[str] = "https://amazon-reviews-2023.github.io/data_processing/5core.html"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(f"{OF_2023}/benchmark/5core/rating_only/Video_Games.csv.gz"),
        Download(f"{OF_2023}/raw/meta_categories/meta_Video_Games.jsonl.gz"),
    )
