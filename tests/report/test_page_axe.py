"""Looks with axe-core for faults of accessibility on committed pages."""

import pytest
from tests.docs.pages import ROOT
from tests.report.browser import Tab

# Most rows differ in words and numbers only, and axe looks at every cell.
ONE_ROW_OF_EACH_SHAPE = """() => {
    const shape = (part) => [part, ...part.querySelectorAll("*")]
        .map((each) => each.tagName + each.getAttributeNames() + each.className + (each.getAttribute("style") || "")
            + !each.textContent.trim() + !each.getAttribute("aria-label"));
    for (const body of document.querySelectorAll("tbody")) {
        const seen = new Set();
        for (const row of [...body.rows]) {
            const own = shape(row).join();
            if (seen.has(own)) row.remove();
            seen.add(own);
        }
    }
}"""


@pytest.mark.parametrize(("board", "scheme"), [("llm", "light"), ("text", "dark"), ("corruption", "light")])
def test_axe_finds_nothing_serious(browser, board, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with Tab(browser, ROOT / "results" / board / "index.html", color_scheme=scheme) as tab:
        tab.page.locator("#board-1-1 summary").click()
        tab.page.locator("#board-1 .tools details summary").click()
        tab.page.evaluate(ONE_ROW_OF_EACH_SHAPE)
        violations = axe.run(tab.page, options={"resultTypes": ["violations"]}).response["violations"]
        bad = [one for one in violations if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in bad] == []
        assert tab.page.locator("main").count() == 1
