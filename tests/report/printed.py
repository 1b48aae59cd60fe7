"""Reads what Chromium prints: the marks and the links of each page of a PDF."""

import re
import zlib
from dataclasses import dataclass

OBJECT = re.compile(rb"(\d+) 0 obj\s(.*?)endobj", re.S)
PAGE = re.compile(rb"/Type\s*/Page\b")
# Operators that show text, fill or stroke a path, or paint a picture.
MARKS = re.compile(rb"(?<=\s)(?:Tj|TJ|f\*?|F|S|s|B\*?|b\*?|Do|sh)(?=\s)")


@dataclass(frozen=True)
class Sheet:
    """A page of a PDF.

    Args:
        marks: the number of operators that paint something.
        links: the addresses of the links.
    """

    marks: int
    links: list[str]


def read_sheets(pdf):
    """Returns the pages of a PDF, in order.

    Chromium writes no object streams, so a page, its content and its annotations are objects of their own.
    """
    assert b"/ObjStm" not in pdf
    objects = {int(number): body for number, body in OBJECT.findall(pdf)}
    sheets = []
    for body in (body for body in objects.values() if PAGE.search(body)):
        content = objects[int(re.search(rb"/Contents (\d+) 0 R", body)[1])]
        stream = content[content.index(b"stream") + len(b"stream") :].lstrip(b"\r\n")
        stream = zlib.decompressobj().decompress(stream) if b"/FlateDecode" in content else stream
        given = re.search(rb"/Annots\s*\[(.*?)\]", body, re.S)
        notes = [objects[int(number)] for number in re.findall(rb"(\d+) 0 R", given[1] if given else b"")]
        links = [uri.decode() for note in notes for uri in re.findall(rb"/URI\s*\((.*?)\)", note)]
        sheets.append(Sheet(len(MARKS.findall(stream)), links))
    return sheets
