"""The page of a board, ``index.html``."""

from robench.report.page.build import to_page

__all__ = ["to_page"]
