"""Tests the built-in data sets on the web, with small files of the same form."""

import gzip
import json

import pytest
from tests.plugins.datasets.test_amazon import reviews_2018
from tests.plugins.datasets.test_movielens import write_1m, write_100k, write_csv

from robench.api import DataError
from robench.testing import DatasetTests
from robench_plugins.datasets.known_amazon import AmazonBeauty2014
from robench_plugins.datasets.known_movielens import MovieLens1M, MovieLens20M, MovieLens100K


class Prepared(DatasetTests):
    """Conformance tests of a data set that gets its folder from the host."""

    @pytest.fixture(autouse=True)
    def prepared(self, tmp_path):
        self.write(tmp_path)
        self.folder = tmp_path

    def make(self):
        dataset = self.dataset()
        dataset.folder = self.folder
        return dataset


class Test100K(Prepared):
    dataset = MovieLens100K

    def write(self, folder):
        write_100k(folder / "ml-100k")


class Test1M(Prepared):
    dataset = MovieLens1M

    def write(self, folder):
        write_1m(folder / "ml-1m")


class Test20M(Prepared):
    dataset = MovieLens20M

    def write(self, folder):
        write_csv(folder / "ml-20m")


class TestAmazon(Prepared):
    dataset = AmazonBeauty2014

    def write(self, folder):
        (folder / "reviews_Beauty_5.json.gz").write_bytes(gzip.compress(reviews_2018().encode()))
        product = json.dumps({"asin": "B00000JD4V", "title": "Game"})
        (folder / "meta_Beauty.json.gz").write_bytes(gzip.compress(product.encode()))

    def test_titles_come_from_the_metadata(self):
        assert self.make().load().catalogue["B00000JD4V"].title == "Game"


def test_nothing_is_read_without_the_host():
    with pytest.raises(DataError, match="robench data prepare"):
        MovieLens1M().load()
