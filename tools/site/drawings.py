"""Draws where an attacker touches a recommender, one picture per surface.

``python tools/site/drawings.py`` writes the pictures of docs/reference/threat-models.md.

All pictures show the same path from the training data to a recommended list. A thick frame and a label mark what the
attacker changes. The pictures bring their own background and follow the reader's light or dark mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH, HEIGHT, ROW = 680, 214, 44
STYLE = """
.paper { fill: #f7f8fa } .box { fill: #fff; stroke: #5b6270 }
.touched { fill: #fdebe7; stroke: #b3261e; stroke-width: 3 }
text { font: 14px "Liberation Sans", Arial, sans-serif; fill: #1d2129; text-anchor: middle } .label { fill: #a3211a }
.arrow { stroke: #5b6270; stroke-width: 1.5; fill: none } .head { fill: #5b6270 }
@media (prefers-color-scheme: dark) {
.paper { fill: #1f2229 } .box { fill: #2b2f38; stroke: #a0a7b4 } .touched { fill: #4a2320; stroke: #ff8a80 }
text { fill: #e4e7ec } .label { fill: #ff9d94 } .arrow { stroke: #a0a7b4 } .head { fill: #a0a7b4 } }
"""


@dataclass(frozen=True)
class Box:
    """A part of the path.

    Args:
        name: what the box says.
        left: its left edge.
        top: its upper edge.
        width: its width.
    """

    name: str
    left: int
    top: int
    width: int

    @property
    def middle(self) -> float:
        """The horizontal centre of the box."""
        return self.left + self.width / 2


DATA = Box("training data", 20, 40, 130)
TABLES = Box("embedding tables", 200, 40, 140)
TITLES = Box("titles, vectors", 390, 40, 130)
HISTORY = Box("a user's history", 20, 140, 130)
INPUT = Box("embedded input", 200, 140, 140)
LAYERS = Box("layers", 390, 140, 130)
LIST = Box("list", 570, 140, 90)
BOXES = (DATA, TABLES, TITLES, HISTORY, INPUT, LAYERS, LIST)
ACROSS = ((DATA, TABLES), (HISTORY, INPUT), (INPUT, LAYERS), (LAYERS, LIST))
DOWN = ((TABLES, INPUT), (TITLES, LAYERS))
# What an attacker of each surface touches, the label, and the description for readers who do not see the picture.
TOUCHED = {
    "embedding": (INPUT, "+ δ, one per user", "a shift is added to one user's embedded input, before the layers"),
    "parameters": (TABLES, "+ δ, one for all users", "a shift is added to the embedding tables, for all users"),
    "features": (TITLES, "+ δ, one for all users", "a shift is added to the vectors of items, for all users"),
    "history": (HISTORY, "insert, delete, substitute", "interactions in one user's history are edited"),
    "text": (TITLES, "other words", "the titles of items are rewritten, for all users"),
    "interactions": (DATA, "fake users, changed rows", "the training data are changed before the model is fitted"),
}


def draw(surface: str) -> str:
    """Returns the picture of a surface as SVG text."""
    touched, label, words = TOUCHED[surface]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(f"Attacks on {surface}: {words}.")}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
    ]
    parts += [_across(one, two) for one, two in ACROSS]
    parts += [_down(one, two) for one, two in DOWN]
    for box in BOXES:
        kind = "touched" if box is touched else "box"
        parts.append(f'<rect class="{kind}" x="{box.left}" y="{box.top}" width="{box.width}" height="{ROW}" rx="5"/>')
        parts.append(f'<text x="{box.middle:g}" y="{box.top + 27}">{escape(box.name)}</text>')
    place = touched.top - 12 if touched.top < HEIGHT / 2 else touched.top + ROW + 20
    parts.append(f'<text class="label" x="{max(touched.middle, 100):g}" y="{place}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _across(one: Box, two: Box) -> str:
    start, end, y = one.left + one.width + 4, two.left - 4, one.top + ROW // 2
    head = f"M{end} {y}l-9 -5v10z"
    return f'<path class="arrow" d="M{start} {y}H{end - 8}"/><path class="head" d="{head}"/>'


def _down(one: Box, two: Box) -> str:
    x, start, end = f"{one.middle:g}", one.top + ROW + 4, two.top - 4
    return f'<path class="arrow" d="M{x} {start}V{end - 8}"/><path class="head" d="M{x} {end}l-5 -9h10z"/>'


if __name__ == "__main__":
    for name in TOUCHED:
        (FOLDER / f"threat-{name}.svg").write_text(draw(name), "utf-8")
