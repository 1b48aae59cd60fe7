"""Tests which sealed JSON is accepted, and which is refused."""

import json

import pytest

from robench.api.errors import UserError
from robench.store.seal import parse_sealed, seal

CONTENT = {"format_version": 1, "id": "a", "code": {"module:Class": "é"}, "number": 1e-07, "text": 'a "b": \\'}


def parsed(text):
    return parse_sealed(text.encode(), "a record", 1, "a.json")


@pytest.mark.unit
@pytest.mark.parametrize("options", [{"indent": 1}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_reads_the_content_in_any_layout(options, ascii_only):
    sealed = seal(CONTENT)
    assert parsed(json.dumps(sealed, ensure_ascii=ascii_only, **options)) == sealed


@pytest.mark.unit
@pytest.mark.parametrize("name", ["id", "sha256"])
@pytest.mark.parametrize("hidden", [False, True])
def test_refuses_a_key_that_stands_twice(name, hidden):
    """A duplicate key is refused, although the seal fits the last value.

    If ``hidden`` is true, the text also writes another colon as an escape. The number of colons is then the usual one.
    """
    text = json.dumps(seal(CONTENT)).replace("{", f'{{"{name}": "b",', 1)
    if hidden:
        text = text.replace("module:Class", r"module\u003aClass")
    with pytest.raises(UserError, match=f"'{name}' occurs twice in one object"):
        parsed(text)


@pytest.mark.unit
def test_refuses_an_object_without_a_seal():
    with pytest.raises(UserError, match="a record without a seal"):
        parsed(json.dumps(CONTENT))
