"""Tests that a page of many rows stays small."""

from tests.docs.pages import ROOT
from tools.perf.page import enlarge

from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.page import to_page
from robench.tables.build import make_tables

ROWS, MOST = 2000, 5_000_000  # the rows of a large board, and the bytes that its page may have
PICTURES = 500_000  # more than the bytes of the pictures of such a board


def test_a_row_with_its_details_weighs_little():
    tables = make_tables(read_folder(ROOT / "results" / "whitebox", Registry.of(Host.discover())))
    small, large = (len(to_page(enlarge(tables, rows), drawn=False).encode()) for rows in (51, 153))
    assert small + (ROWS - 51) * (large - small) / 102 + PICTURES < MOST
