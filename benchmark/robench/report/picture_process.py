"""Draws Vega-Lite charts as SVG, as a program of its own: JSON comes in, JSON goes out.

``drawing.py`` starts it. It imports nothing of robench, so that it starts fast.
"""

import json
import os
import sys


def main() -> None:
    """Reads a list of charts from standard input, and writes the list of their pictures to standard output."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the library prints is no picture
    import vl_convert  # noqa: PLC0415  # its messages too

    json.dump([vl_convert.vegalite_to_svg(chart) for chart in json.load(sys.stdin.buffer)], output)
    output.close()


if __name__ == "__main__":
    main()
