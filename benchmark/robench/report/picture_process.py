"""A program that draws Vega-Lite charts as SVG.

The input and the output are JSON. ``drawing.py`` starts the program. It imports nothing from robench, so it starts
fast.
"""

import json
import os
import sys


def main() -> None:
    """Reads a list of charts from standard input, and prints their pictures."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Lines that the library prints are not pictures.
    import vl_convert  # noqa: PLC0415  # its messages too

    json.dump([vl_convert.vegalite_to_svg(chart) for chart in json.load(sys.stdin.buffer)], output)
    output.close()


if __name__ == "__main__":
    main()
