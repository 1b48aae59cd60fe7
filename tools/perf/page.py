"""Measures the page of a board with 2,000 rows in Chromium.

    python tools/perf/page.py [--rows 2000]

The rows are copied from results/whitebox, with new labels of the models. Details, flags and verdicts are therefore
real. The script prints the size of the page and the time of the first paint. For each filter and each sort, it prints
the time until the next frame is painted. It ends with exit code 1 if a bound is exceeded. The script needs the extra
``dev``, Chromium, and a machine that is otherwise idle.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright

from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.page import to_page
from robench.tables.build import Tables, make_tables
from robench.tables.results import grouped

ROOT = Path(__file__).resolve().parents[2]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
LOADED = "performance.getEntriesByType('navigation')[0].domComplete"
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"  # ends when a frame has been painted
FILTER = f"""async words => {{
  const search = document.querySelector('#board-1 input[type=search]'), start = performance.now();
  search.value = words;
  search.dispatchEvent(new Event('input'));
  await {FRAME};
  return performance.now() - start;
}}"""
SORT = f"""async () => {{
  const head = document.querySelector('#board-1 th[data-k=worst] button'), start = performance.now();
  head.click();
  await {FRAME};
  return performance.now() - start;
}}"""
WORDS = ("sasrec", "", "lstm pgd", "7", "undecided", "")
TABS = 3  # the page is opened so often; every number is the median
SIZE, FIRST_PAINT, LONGEST_FILTER = 5.0, 1500, 100  # bounds in MB, ms and ms


def enlarge(tables: Tables, count: int) -> Tables:
    """Returns tables with a single ranking table of ``count`` rows."""
    (board, *_), (worst, *_) = tables.leaderboard, tables.page_values
    rows, values, ensembles, curves = [], [], [], {}
    by_row, by_ensemble = grouped(tables.values, lambda v: v.cell.key), grouped(tables.ensembles, lambda one: one.key)
    while len(rows) < count:
        number = len(rows) // len(board.rows)
        for row in board.rows[: count - len(rows)]:
            key = replace(row.key, model_label=f"{row.key.model_label} {number}")
            rows.append(replace(row, key=key))
            values += [replace(v, cell=replace(v.cell, key=key)) for v in by_row[row.key]]
            ensembles += [replace(one, key=key) for one in by_ensemble.get(row.key, []) if one.threat == board.threat]
            if row.key in worst.curves:
                curves[key] = worst.curves[row.key]
    return replace(
        tables,
        leaderboard=[replace(board, rows=tuple(rows))],
        page_values=[replace(worst, curves=curves, costs={})],
        examples=[],
        values=values,
        ensembles=ensembles,
        curves=[],
    )


def main() -> None:
    """Prints the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    rows = parser.parse_args().rows
    results = read_folder(ROOT / "results" / "whitebox", Registry.of(Host.discover()))
    page = to_page(enlarge(make_tables(results), rows))
    size = len(page.encode()) / 1e6
    paint, loaded, filters, sorts = _measure(page)
    print(f"{rows} rows: {size:.2f} MB (bound {SIZE:g})")
    print(f"first paint: {paint:.0f} ms (bound {FIRST_PAINT})")
    print(f"complete, with the script: {loaded:.0f} ms (no bound)")
    print(f"filters: {', '.join(f'{one:.0f}' for one in filters)} ms (bound {LONGEST_FILTER})")
    print(f"sorts: {', '.join(f'{one:.0f}' for one in sorts)} ms (no bound)")
    sys.exit(size > SIZE or paint > FIRST_PAINT or max(filters) > LONGEST_FILTER)


def _measure(page: str) -> tuple[float, float, list[float], list[float]]:
    """Returns milliseconds: first paint, whole page, each filter, each sort."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        path = Path(folder) / "index.html"
        path.write_text(page, encoding="utf-8")
        paints, loads, filters, sorts = [], [], [], []
        for _ in range(TABS):
            tab = browser.new_page()
            tab.goto(path.as_uri(), timeout=120_000)
            paints.append(tab.evaluate(PAINT))
            loads.append(tab.evaluate(LOADED))
            filters.append([tab.evaluate(FILTER, words) for words in WORDS])
            sorts.append([tab.evaluate(SORT) for _ in range(3)])
            tab.close()
        medians = ([*map(statistics.median, zip(*some, strict=True))] for some in (filters, sorts))
        return statistics.median(paints), statistics.median(loads), *medians


if __name__ == "__main__":
    main()
