"""Prepares the fork server for commands that write pages.

The fork server imports this module, so that no fork compiles the template of the page again.
"""

from robench.report.page.build import load_template

load_template()
