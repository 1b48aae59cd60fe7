"""Extracts the plugins that the documentation shows."""

import re

from tests.docs.pages import ROOT, blocks, read

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "plugins").glob("*.md"))]


def files(page: str) -> dict[str, str]:
    """Maps the names of the Python files on a page to the contents of the files.

    A code block belongs to the last file name that the page mentions before the block. The two blocks of the README get
    fixed names.
    """
    text = read(page)
    if page == "README.md":
        return dict(zip(("momentum.py", "test_momentum.py"), blocks(text, "python"), strict=True))
    found = {}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        name = re.findall(r"`(\w+\.py)`", text[: block.start()])[-1]
        assert name not in found, f"{page}: two blocks of {name}"
        found[name] = block[1]
    return found


EXAMPLES = {name: text for page in PAGES for name, text in files(page).items()}
MODULES = sorted(name.removesuffix(".py") for name in EXAMPLES if not name.startswith("test_"))
