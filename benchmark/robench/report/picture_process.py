"""A program that draws Vega-Lite charts as SVG.

The input and the output are JSON. ``drawing.py`` starts the program. The program imports nothing from robench, so it
starts fast.
"""

import json
import os
import sys


def main() -> None:
    """Reads a list of charts from standard input and prints the list of pictures."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Lines that the library prints must not mix with the pictures.
    import vl_convert  # noqa: PLC0415  # the import prints too

    json.dump([vl_convert.vegalite_to_svg(chart) for chart in json.load(sys.stdin.buffer)], output)
    output.close()


if __name__ == "__main__":
    main()
