"""Tests that a page of many rows stays small."""

from tests.docs.pages import ROOT
from tools.perf.page import enlarge

from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.page import to_page
from robench.tables.build import make_tables

MOST = 2400  # bytes of a row; 2,000 rows and the rest of the page fit 5 MB


def test_a_row_with_its_details_weighs_little():
    tables = make_tables(read_folder(ROOT / "results" / "whitebox", Registry.of(Host.discover())))
    small, large = (len(to_page(enlarge(tables, rows), drawn=False).encode()) for rows in (51, 153))
    assert (large - small) / 102 < MOST
