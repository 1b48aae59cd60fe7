"""Extracts the plugins that the documentation shows.

Some plugins are single modules, and some are packages that ``robench new-plugin`` writes.
"""

import re

from tests.docs.pages import ROOT, blocks, read

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "plugins").glob("*.md"))]


def files(page: str) -> dict[str, str]:
    """Maps the names of the Python files on a page to the contents of the files.

    A code block belongs to the last file name that the page mentions before the block. The two blocks of the README get
    fixed names. A name with a slash is that of a file in a package.
    """
    text = read(page)
    if page == "README.md":
        return dict(zip(("momentum.py", "test_momentum.py"), blocks(text, "python"), strict=True))
    found = {}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        name = re.findall(r"`([\w/]+\.py)`", text[: block.start()])[-1]
        assert name not in found, f"{page}: two blocks of {name}"
        found[name] = block[1]
    return found


def package_of(page: str) -> tuple[str, str] | None:
    """Returns the name and the kind of the package that a page shows, or None."""
    commands = re.findall(r"^robench new-plugin (\S+) --kind (\w+)$", read(page), re.M)
    return commands[0] if len(commands) == 1 else None


EXAMPLES = {name: text for page in PAGES for name, text in files(page).items() if "/" not in name}
MODULES = sorted(name.removesuffix(".py") for name in EXAMPLES if not name.startswith("test_"))
# the name and the kind of each package, by its page
PACKAGES = {page: package for page in PAGES if not page.endswith("index.md") and (package := package_of(page))}
