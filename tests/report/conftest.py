"""Fixtures for the tests that open pages in a browser."""

import pytest
from tests.report.browser import started


@pytest.fixture(scope="module")
def browser():
    """A browser that the tests of one module share."""
    with started() as browser:
        yield browser
