"""Tests the unpacking of archives, most of which are hostile."""

import errno
import io
import random
import stat
import tarfile
import zipfile

import pytest

from robench.api.errors import UserError
from robench.files import unpacking
from robench.files.unpacking import unpack


def zipped(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, *mode in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode:
                info.external_attr = mode[0] << 16
            archive.writestr(info, content)
    return path


def tarred(path, *members):
    with tarfile.open(path, "w:bz2" if path.suffix == ".bz2" else "w:gz") as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_zip_is_unpacked(tmp_path, folder):
    mode = stat.S_IFREG | 0o600
    archive = zipped(tmp_path / "x.zip", ("ml/", b""), ("ml/a.csv", b"1"), ("ml/b/c.csv", b"2", mode))
    unpack(archive, folder)
    assert files(folder) == {"ml/a.csv": b"1", "ml/b/c.csv": b"2"}


def test_a_tar_is_unpacked(tmp_path, folder):
    archive = tarred(tmp_path / "x.tar.gz", ("ml", b"", tarfile.DIRTYPE), ("ml/a.csv", b"1", tarfile.REGTYPE))
    unpack(archive, folder)
    assert files(folder) == {"ml/a.csv": b"1"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..\\x", "C:\\x", "C:/x", "a/.."])
def test_no_path_leaves_the_folder(tmp_path, folder, name):
    for archive in (
        zipped(tmp_path / "x.zip", ("fine", b"1"), (name, b"2")),
        tarred(tmp_path / "x.tgz", ("fine", b"1", tarfile.REGTYPE), (name, b"2", tarfile.REGTYPE)),
    ):
        with pytest.raises(UserError, match=r"not unpacked: .* leaves the folder"):
            unpack(archive, folder)
        assert not files(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "x.zip", "x.tgz"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, folder, kind):
    with pytest.raises(UserError, match="is a link or a device"):
        unpack(tarred(tmp_path / "x.tar.gz", ("fine", b"1", tarfile.REGTYPE), ("x", b"", kind)), folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, folder, kind):
    with pytest.raises(UserError, match="is a link or a device"):
        unpack(zipped(tmp_path / "x.zip", ("fine", b"1"), ("x", b"/etc/passwd", kind | 0o777)), folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a//b"), ("a", "./a")])
def test_no_file_is_written_twice(tmp_path, folder, names):
    with pytest.raises(UserError, match="occurs twice"):
        unpack(zipped(tmp_path / "x.zip", *((name, b"1") for name in names)), folder)


def test_a_bomb_is_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS_FINE", 1000)
    monkeypatch.setattr(unpacking, "LARGEST_RATIO", 2)
    with pytest.raises(UserError, match=r"unpacks to 97.7 KiB, which is too much"):
        unpack(zipped(tmp_path / "x.zip", ("x", b"0" * 100_000)), folder)
    assert not files(folder)


def test_a_bomb_that_states_a_small_size_is_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS_FINE", 1000)
    monkeypatch.setattr(unpacking, "LARGEST_RATIO", 2)
    archive = zipped(tmp_path / "x.zip", ("x", b"0" * 100_000))
    content = archive.read_bytes()
    archive.write_bytes(content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"unpacks to more than|damaged"):
        unpack(archive, folder)
    assert sum(map(len, files(folder).values())) <= 1000


def test_too_many_files_are_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    with pytest.raises(UserError, match="more than 3 files"):
        unpack(zipped(tmp_path / "x.zip", *((str(n), b"") for n in range(4))), folder)
    with pytest.raises(UserError, match=r"comes after 3 others|more than 3 files"):
        unpack(tarred(tmp_path / "x.tgz", *((str(n), b"", tarfile.REGTYPE) for n in range(5))), folder)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"<html>not found</html>"])
def test_a_damaged_archive_is_one_line(tmp_path, folder, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="a damaged archive") as error:
        unpack(tmp_path / name, folder)
    assert "\n" not in str(error.value)


def test_a_cut_archive_is_one_line(tmp_path, folder):
    archive = zipped(tmp_path / "x.zip", ("x", bytes(range(256)) * 50))
    content = bytearray(archive.read_bytes())
    content[60:80] = bytes(20)
    archive.write_bytes(content)
    with pytest.raises(UserError, match="a damaged archive"):
        unpack(archive, folder)


def test_an_archive_without_its_beginning_is_one_line(tmp_path, folder):
    archive = zipped(tmp_path / "x.zip", ("x", random.Random(0).randbytes(5000)), ("y", b"1"))
    archive.write_bytes(archive.read_bytes()[3000:])  # the first file would begin before the archive
    with pytest.raises(UserError, match="a damaged archive: Invalid argument"):
        unpack(archive, folder)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.bz2"])
def test_a_compressed_tar_with_a_damaged_end_is_one_line(tmp_path, folder, name):
    archive = tarred(tmp_path / name, ("x", random.Random(0).randbytes(3 << 20), tarfile.REGTYPE))
    content = bytearray(archive.read_bytes())
    content[-2000:-8] = bytes(1992)
    archive.write_bytes(content)
    with pytest.raises(UserError, match="a damaged archive"):
        unpack(archive, folder)


@pytest.mark.parametrize("name", ["a" * 256, "é" * 128, "a/" * 500 + "b"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, folder, name):
    with pytest.raises(UserError, match="has a name that is too long"):
        unpack(zipped(tmp_path / "x.zip", (name, b"1")), folder)
    assert not list(folder.iterdir())


def test_an_archive_that_cannot_be_read_is_not_called_damaged(tmp_path, folder, monkeypatch):
    def fail(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(zipfile, "ZipFile", fail)
    (tmp_path / "x.zip").write_bytes(b"x")
    with pytest.raises(UserError, match=r"x\.zip: cannot be read: Permission denied"):
        unpack(tmp_path / "x.zip", folder)


def test_an_error_while_writing_is_no_damage(tmp_path, folder):
    archive = zipped(tmp_path / "x.zip", ("x", b"1"))
    (folder / "x").mkdir()
    with pytest.raises(FileExistsError):
        unpack(archive, folder)


def test_a_file_that_unpacks_to_more_than_it_states_is_stopped(folder, tmp_path):
    liar = unpacking.Member("a.csv", 1, lambda: io.BytesIO(b"x" * 1000))
    with pytest.raises(UserError, match=r"'a\.csv' unpacks to more than"):
        unpacking._write([liar], folder, tmp_path / "a.zip", 100)
    assert sum(map(len, files(folder).values())) <= 100
