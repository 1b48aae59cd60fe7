"""Tests how the files of a submission are written and listed."""

import os

import pytest

from robench.api.errors import UserError
from robench.submission.archive import list_files, write_zip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub" / "cells").mkdir(parents=True)
    for name in ("plan.json", "cells/a.json"):
        (tmp_path / "sub" / name).write_text(name)
    return tmp_path / "sub"


def test_a_link_in_a_submitted_folder_is_refused(folder, tmp_path):
    assert list_files(folder) == ["cells/a.json", "plan.json"]
    (tmp_path / "secret").write_text("secret")
    (folder / "cells" / "b.json").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=r"b.json: a link or a special file, which no submission has"):
        list_files(folder)


def test_equal_folders_give_equal_archives(folder, tmp_path):
    write_zip(folder, tmp_path / "one.zip")
    os.utime(folder / "plan.json", (1e9, 1e9))
    (folder / "plan.json").chmod(0o600)
    write_zip(folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
