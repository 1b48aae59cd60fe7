"""Opens a site in Chromium as a reader would: ``browse.py site``.

The script serves the folder, and opens the start page and every board. It checks that no page has an error or a failed
request, that every link is answered, that the cards are in the order of site.json with the newest first, that each
has a headline, and that the search finds every board by its name. It needs the extra ``dev`` and Chromium.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Page, sync_playwright

LINKS = "[...new Set([...document.querySelectorAll('a')].map(a => a.href.split('#')[0]))]"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(site: Path) -> Iterator[str]:
    """Yields the address under which a folder is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def find_problems(site: Path) -> list[str]:
    """Returns a line for each problem that a reader of the site would meet."""
    with serve(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page, problems = browser.new_page(), []
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on("response", lambda answer: answer.ok or problems.append(f"{page.url}: no {answer.url}"))
        page.goto(f"{address}index.html")
        links = {address: page.evaluate(LINKS)}
        problems += _check_cards(page)
        for board in page.evaluate("[...document.querySelectorAll('#boards h2 a')].map(a => a.href)"):
            page.goto(board)
            links[board] = page.evaluate(LINKS)
            problems += [] if page.locator("main table").count() else [f"{board}: no table"]
        targets = {link: source for source, some in links.items() for link in some}
        for link, source in targets.items():
            if not page.request.get(link).ok:
                problems.append(f"{source}: {link} is not answered")
        print(f"{len(links)} pages opened, {len(targets)} different links followed")
        return problems


def _check_cards(page: Page) -> Iterator[str]:
    """Yields problems of the start page: the order, the headlines and the search."""
    names = page.locator("#boards h2").all_inner_texts()
    days = page.evaluate(
        "[...document.querySelectorAll('#boards .date')].map(p => p.querySelector('time')?.dateTime || '')"
    )
    if days != sorted(days, reverse=True):
        yield f"the newest board is not first: {days}"
    for name, card in zip(names, page.locator("#boards article").all(), strict=True):
        if not all(text.strip() for text in card.locator("dd").all_inner_texts()) or not card.locator("dd").count():
            yield f"{name} has no headline"
        page.get_by_label("Search boards").fill(name)
        if not card.is_visible():
            yield f"a search for {name} does not find it"
    page.get_by_label("Search boards").fill("no board has these words")
    if page.locator("#boards article >> visible=true").count():
        yield "a search for other words finds a board"
    page.get_by_label("Search boards").fill("")


if __name__ == "__main__":
    found = find_problems(Path(sys.argv[1]))
    print("\n".join(found) or f"{sys.argv[1]}: no problem")
    sys.exit(bool(found))
