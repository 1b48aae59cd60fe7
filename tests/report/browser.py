"""Opens pages in the system's Chromium, for the tests of the page."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def started():
    """Yields a browser, or skips the test if this machine has none."""
    if CHROMIUM is None:
        pytest.skip("the page is tested in Chromium, and this machine has none")
    api = pytest.importorskip("playwright.sync_api", reason="the page is tested by playwright, an extra of dev")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A page in a browser, with the errors and the requests that it caused.

    Args:
        browser: The browser.
        path: The file of the page.
        address: The part of the address after ``#``.
        **options: Options of the context, such as ``viewport``.
    """

    def __init__(self, browser, path, address="", **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page, self.errors, self.requests = self.context.new_page(), [], []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri() + (f"#{address}" if address else ""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def rows(self, board="board-1"):
        """Returns the texts of the visible rows of a ranking table, by column."""
        return self.page.evaluate(
            """id => {
              const table = document.getElementById(id + '-t');
              const seen = e => e.getClientRects().length > 0;
              const heads = [...table.tHead.rows[0].cells];
              return [...table.tBodies[0].rows].filter(tr => seen(tr) && !tr.classList.contains('more')).map(tr =>
                Object.fromEntries([...tr.cells].map((td, i) => [heads[i].dataset.k, td])
                  .filter(([k, td]) => k && seen(td)).map(([k, td]) => [k, td.textContent.trim()])));
            }""",
            board,
        )
