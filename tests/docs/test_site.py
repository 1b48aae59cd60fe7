"""Tests the site of the documentation, which mkdocs builds without a warning.

The pages need no network, and every link leads somewhere.
"""

import json
import re
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Thread

import pytest
import yaml
from tests.docs.pages import PAGES, ROOT
from tests.report.browser import started
from tools.site.links import find_problems

CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def build(target):
    """Builds the pages. A warning fails the build."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(target)]
    environment = {"NO_MKDOCS_2_WARNING": "1", "PATH": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="mkdocs-material is missing: pip install 'robench[docs]'")
    target = tmp_path_factory.mktemp("docs") / "site"
    done = build(target)
    assert done.returncode == 0, done.stderr
    return target


def listed(nav):
    """Yields the pages of a navigation."""
    for entry in nav:
        for part in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(part, str):
                yield part
            else:
                yield from listed(part)


def test_every_page_is_in_the_navigation_once():
    names = list(listed(CONFIG["nav"]))
    assert len(names) == len(set(names))
    outside = {"README.md": "introduction.md", "CONTRIBUTING.md": "contributing.md"}
    pages = {outside.get(str(path.relative_to(ROOT)), str(path.relative_to(ROOT / "docs"))) for path in PAGES[2:]}
    assert {*names} == {*pages, *outside.values(), "changelog.md"}


def test_links_lead_somewhere_and_nothing_comes_from_a_network(site):
    assert find_problems(site) == []
    assert len(list(site.rglob("*.html"))) == len(list(listed(CONFIG["nav"])))
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?https?:|@import", style.read_text("utf-8")), style


def test_a_dead_link_and_a_foreign_script_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a id=x href="b.html"></a><a href="#y"></a><script src="https://x.org/a.js">')
    assert find_problems(tmp_path) == [
        "a.html: loads https://x.org/a.js",
        "a.html: b.html leads nowhere",
        "a.html: #y has no such anchor",
    ]


def test_search_finds_the_text_of_a_page(site):
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = {PurePosixPath(entry["location"].partition("#")[0]) for entry in index["docs"] if "λ" in entry["text"]}
    assert PurePosixPath("reference/defences.html") in places


def test_nested_lists_and_anchors_are_those_of_the_repository(site):
    design = (site / "design.html").read_text("utf-8")
    assert re.search(r"<li>[^<]*(<[^>]*>[^<]*)*?<ul>", design)
    assert "  - " not in re.sub(r"<(pre|code).*?</\1>", "", design, flags=re.S)
    introduction = (site / "introduction.html").read_text("utf-8")
    assert 'href="reference/threat-models.html"' in introduction
    assert 'src="images/leaderboard.svg"' in introduction


@pytest.fixture
def served(site):
    """Yields the address of the site on a server, because a search needs one."""
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, *_):
        """Drops the message."""


def test_a_reader_can_search_and_nothing_else_is_asked(served):
    with started() as browser:
        page, requests, errors = browser.new_page(), [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{served}index.html")
        # The search reads the text once its index is ready, and after each key. fill() presses no key, so without the
        # key below a text that is filled in after the index is ready would never be looked up.
        box = page.get_by_role("textbox", name="Search")
        box.fill("Holm's method")
        box.press("End")
        page.locator(".md-search-result__link[href*='statistics.html']").first.wait_for()
        assert [url for url in requests if not url.startswith((served, "blob:", "data:"))] == []
        assert errors == []
