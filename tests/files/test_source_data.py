"""Tests the source data that are downloaded and stored by content."""

import errno
import hashlib
import io
import json
import zipfile

import pytest
from tests.loopback import Site, serving

from robench.api.download import Download
from robench.api.errors import DataError, UserError
from robench.files import http, source_data
from robench.files.cache import Cache
from robench.files.pruning import list_entries, prune
from robench.files.source_data import find_source_data, match_origins, prepare_source_data, require_source_data


def archive(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in members.items():
            file.writestr(f"ml/{name}.csv", text)
    return content.getvalue()


GOOD = archive(ratings="user,item\n1,2\n", movies="x")
MD5 = f"md5:{hashlib.md5(GOOD).hexdigest()}"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.0)
    with serving(Site({"/ml.zip": GOOD, "/meta.json.gz": b"meta"})) as one:
        yield one


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def left(cache):
    """Returns the paths of the files in the folder of source data, except lock files."""
    return {name for name in files(cache.folder / "source-data") if not name.endswith(".lock")}


def test_a_good_download_is_checked_unpacked_and_found(site, cache):
    downloads = (Download(f"{site.address}/ml.zip", None, MD5), Download(f"{site.address}/meta.json.gz"))
    kept = prepare_source_data(cache, "mine/ml", downloads)
    assert files(kept.folder) == {"ml/ratings.csv", "ml/movies.csv", "meta.json.gz"}
    assert [one.checked for one in kept.files] == [MD5, ""]
    assert kept.files[1].sha256 == hashlib.sha256(b"meta").hexdigest()
    assert find_source_data(cache, "mine/ml") == kept
    assert require_source_data(cache, "mine/ml") == kept.folder
    assert len(left(cache)) == 4  # three files and the note


def test_what_is_missing_is_said(cache):
    with pytest.raises(DataError, match=r"ml are not on this machine \(run: robench data prepare ml\)"):
        require_source_data(cache, "ml")


def test_a_wrong_checksum_keeps_nothing(site, cache):
    with pytest.raises(UserError, match=r"its md5 is .* and its publisher states 0{32}"):
        prepare_source_data(cache, "ml", (Download(f"{site.address}/ml.zip", None, f"md5:{'0' * 32}"),))
    assert not left(cache)
    assert find_source_data(cache, "ml") is None


def test_a_broken_download_continues(site, cache):
    site.breaks = http.ATTEMPTS
    one = Download(f"{site.address}/ml.zip", None, MD5)
    with pytest.raises(UserError, match="the same command continues there"):
        prepare_source_data(cache, "ml", (one,))
    prepare_source_data(cache, "ml", (one,))
    assert site.asked[-1] is not None


def test_a_file_on_this_machine_is_taken_and_left_alone(cache, tmp_path):
    given = tmp_path / "mine.zip"
    given.write_bytes(GOOD)
    kept = prepare_source_data(cache, "ml", (Download("http://127.0.0.1:9/ml.zip", None, MD5),), [str(given)])
    assert files(kept.folder) == {"ml/ratings.csv", "ml/movies.csv"}
    given.write_bytes(GOOD + b"x")
    with pytest.raises(UserError, match=r"its publisher states .* \(it is another file\)"):
        prepare_source_data(cache, "ml", (Download("http://127.0.0.1:9/ml.zip", None, MD5),), [str(given)])
    assert given.exists()
    assert find_source_data(cache, "ml") == kept


@pytest.mark.parametrize(("name", "problem"), [("nothing.zip", "no such file"), ("", "a folder")])
def test_what_cannot_be_taken_is_one_line(cache, tmp_path, name, problem):
    with pytest.raises(UserError, match=problem):
        prepare_source_data(cache, "ml", (Download("http://127.0.0.1:9/ml.zip"),), [str(tmp_path / name)])


def test_what_is_given_replaces_by_name_and_then_in_order():
    downloads = [Download("http://x/a.gz"), Download("http://x/b.gz")]
    assert match_origins(downloads, []) == ["http://x/a.gz", "http://x/b.gz"]
    assert match_origins(downloads, ["d/b.gz"]) == ["http://x/a.gz", "d/b.gz"]
    assert match_origins(downloads, ["d/b.gz", "http://y/c.gz"]) == ["http://y/c.gz", "d/b.gz"]
    assert match_origins(downloads, ["c.gz"]) == ["c.gz", "http://x/b.gz"]
    with pytest.raises(UserError, match="3 are given, and there are 2 files"):
        match_origins(downloads, ["1", "2", "3"])


def test_a_hostile_archive_leaves_nothing(site, cache):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("fine", "1")
        file.writestr("../../evil", "2")
    site.files["/ml.zip"] = content.getvalue()
    with pytest.raises(UserError, match="leaves the folder"):
        prepare_source_data(cache, "ml", (Download(f"{site.address}/ml.zip"),))
    assert "evil" not in {path.name for path in cache.folder.parent.rglob("*")}
    assert find_source_data(cache, "ml") is None


@pytest.mark.parametrize("place", ["download", "unpack"])
def test_a_full_disk_is_one_line(site, cache, monkeypatch, place):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(source_data, place, full)
    with pytest.raises(UserError, match="the cache cannot be written: No space left on device") as error:
        prepare_source_data(cache, "ml", (Download(f"{site.address}/ml.zip"),))
    assert "\n" not in str(error.value)


def test_equal_content_is_kept_once(site, cache):
    one = Download(f"{site.address}/ml.zip")
    first = prepare_source_data(cache, "a", (one,))
    assert prepare_source_data(cache, "b", (one,)).folder == first.folder
    site.files["/ml.zip"] = archive(ratings="user,item\n1,3\n")
    assert prepare_source_data(cache, "b", (one,)).folder == first.folder
    assert len(site.asked) == 2
    assert prepare_source_data(cache, "b", (one,), [one.url]).folder != first.folder
    assert find_source_data(cache, "a") == first


def test_damaged_files_are_prepared_again(site, cache):
    one = Download(f"{site.address}/ml.zip")
    kept = prepare_source_data(cache, "ml", (one,))
    (kept.folder / "ml" / "ratings.csv").unlink()
    with pytest.raises(DataError, match=r"damaged \(run: robench data prepare ml\)"):
        require_source_data(cache, "ml")
    assert prepare_source_data(cache, "ml", (one,)) == kept
    assert require_source_data(cache, "ml") == kept.folder


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"key": "../..", "files": [], "sizes": {}}'])
def test_a_damaged_note_is_one_line(cache, text):
    (cache.folder / "source-data").mkdir(parents=True)
    (cache.folder / "source-data" / "ml.json").write_text(text)
    with pytest.raises(UserError, match=r"ml.json.*: "):
        find_source_data(cache, "ml")


def test_pruning_leaves_downloads(site, cache):
    kept = prepare_source_data(cache, "ml", (Download(f"{site.address}/ml.zip"),))
    assert [one.kind for one in list_entries(cache)] == ["source-data"]
    assert prune(cache, 0).left == 0
    assert find_source_data(cache, "ml") == kept


def test_a_changed_list_of_files_is_damage(site, cache):
    downloads = (Download(f"{site.address}/ml.zip", None, MD5),)
    prepare_source_data(cache, "ml", downloads)
    note = cache.folder / "source-data" / "ml.json"
    facts = json.loads(note.read_text())
    facts["files"][0]["sha256"] = "0" * 64
    note.write_text(json.dumps(facts))
    with pytest.raises(UserError, match="damaged"):
        find_source_data(cache, "ml")
    assert prepare_source_data(cache, "ml", downloads).files[0].sha256 == hashlib.sha256(GOOD).hexdigest()


@pytest.mark.parametrize("paths", [("/a/ml.zip", "/b/ml.zip"), ("/ml.zip", "/"), ("/a/..",)])
def test_downloads_without_a_file_name_of_their_own_are_refused(site, cache, paths):
    site.files |= {"/a/ml.zip": GOOD, "/b/ml.zip": archive(other="x")}
    with pytest.raises(UserError, match="a file name of its own"):
        prepare_source_data(cache, "ml", [Download(site.address + path) for path in paths])
    assert not site.asked
