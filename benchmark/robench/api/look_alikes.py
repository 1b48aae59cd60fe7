"""Letters of other alphabets that look like Latin letters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# The letters among the confusables of Unicode (Unicode Technical Standard 39) that NFKC does not change.
LOOK_ALIKES: Mapping[str, str] = MappingProxyType(
    dict(
        zip(
            "асеорхуіјѕԁɡһӏԛԝАВЕКМНОРСТХУІЈЅԌΑΒΕΖΗΙΚΜΝΟΡΤΥΧαονρυ",
            "aceopxyijsdghlqwABEKMHOPCTXYIJSGABEZHIKMNOPTYXaovpu",
            strict=True,
        )
    )
)
