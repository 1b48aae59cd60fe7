"""Draws the pictures of the page in a separate process.

If drawing fails, the page is written without pictures. The engine of the drawing library ends its process if memory is
limited (``ulimit -v``). The engine may also crash or hang.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robench.api.escapes import in_one_line

PROGRAM = Path(__file__).with_name("picture_process.py")
PATIENCE = 60.0  # the seconds allowed for the start of the process
PATIENCE_EACH = 10.0  # the seconds allowed for each picture, which takes about a tenth of a second


class DrawingError(Exception):
    """Raised with a one-line reason if the pictures cannot be drawn."""


def draw_pictures(charts: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the SVG of every chart.

    Args:
        charts: the charts as Vega-Lite objects.

    Raises:
        DrawingError: if the process crashes, hangs, cannot start, or returns no pictures.
    """
    if not charts:
        return []
    limit = PATIENCE + PATIENCE_EACH * len(charts)
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(PROGRAM)],
            input=json.dumps(charts).encode(),
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DrawingError(f"drawing took longer than {limit:g} s") from None
    except OSError as error:
        raise DrawingError(f"the process that draws cannot be started: {error.strerror}") from None
    if done.returncode:
        raise DrawingError(_describe_end(done.returncode, done.stderr))
    try:
        pictures = json.loads(done.stdout)
    except ValueError:
        pictures = None
    if not (isinstance(pictures, list) and [type(one) for one in pictures] == [str] * len(charts)):
        raise DrawingError("the process that draws gave no pictures")
    return pictures


def _describe_end(code: int, stderr: bytes) -> str:
    """Describes how the process ended: by a signal, or with an exit code.

    For a signal, the phrase also says whether memory is limited. For an exit code, it also quotes the last nonblank
    line of the error output.
    """
    if code < 0:
        names = {one.value: one.name for one in signal.Signals}
        limited = "; memory is limited here (ulimit -v)" if _is_limited() else ""
        return f"the process that draws ended by signal {names.get(-code, -code)}{limited}"
    lines = stderr.decode("utf-8", "replace").split("\n")
    said = next((f": {in_one_line(line, 200)}" for line in reversed(lines) if line.strip()), "")
    return f"the process that draws ended by exit code {code}{said}"


def _is_limited() -> bool:
    """Returns whether the address space of this process is limited.

    The engine of the drawing library cannot run under such a limit.
    """
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
