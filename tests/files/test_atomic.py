"""Tests writing a file to a path at which a folder exists.

An empty folder is replaced. For any other folder, the error is reported in one line.
"""

import pytest

from robench.api.errors import UserError
from robench.files.atomic import write_text


def test_a_folder_in_the_place_of_a_file(tmp_path):
    path = tmp_path / "a.json"
    path.mkdir()
    write_text(path, "{}")
    assert path.read_text() == "{}"
    (tmp_path / "b" / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match="a folder, where a file belongs"):
        write_text(tmp_path / "b", "{}")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.json", "b"]
