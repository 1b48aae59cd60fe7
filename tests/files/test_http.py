"""Tests downloads from a server on this machine."""

import socket
import urllib.request

import pytest
from tests.loopback import Site, serving

from robench.api.errors import UserError
from robench.files import http

CONTENT = bytes(range(256)) * 5000


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.0)
    with serving(Site({"/x.zip": CONTENT})) as one:
        yield one


def fetch(site, path, name="/x.zip", seen=None):
    http.download(site.address + name, path, lambda *progress: None if seen is None else seen.append(progress))


def test_a_file_is_downloaded_with_its_progress(site, tmp_path):
    seen = []
    fetch(site, tmp_path / "x.zip", seen=seen)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_broken_connection_continues_where_it_broke(site, tmp_path):
    site.breaks = 2
    fetch(site, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert site.asked == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_later_command_continues_there(site, tmp_path):
    site.breaks = http.ATTEMPTS
    with pytest.raises(UserError, match=r"the connection broke, 4 times \(1.1 MiB are kept, and the same command"):
        fetch(site, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()
    site.asked.clear()
    fetch(site, tmp_path / "x.zip")
    assert site.asked[0].startswith("bytes=12")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(site, tmp_path):
    site.breaks, site.ranges = 1, False
    fetch(site, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("version", ['"2"', "", 'W/"1"'])
def test_two_versions_of_a_file_are_never_mixed(site, tmp_path, version):
    site.breaks = http.ATTEMPTS
    with pytest.raises(UserError):
        fetch(site, tmp_path / "x.zip")
    site.files["/x.zip"], site.version = CONTENT[::-1], version
    site.breaks = 1
    fetch(site, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT[::-1]


def test_a_weak_tag_is_no_version(site, tmp_path):
    site.version, site.breaks = 'W/"1"', 1
    fetch(site, tmp_path / "x.zip")
    assert site.asked == [None, None]
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


def test_a_complete_part_is_taken(site, tmp_path):
    part = http._Part(tmp_path / "x.zip")
    part.start(site.address + "/x.zip", site.version)
    part.file.write_bytes(CONTENT)
    fetch(site, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert len(site.asked) == 1


def test_redirects_are_followed(site, tmp_path):
    site.target = site.address + "/x.zip"
    fetch(site, tmp_path / "x.zip", "/moved")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_not_followed(site, tmp_path, target):
    site.target = target
    with pytest.raises(UserError, match=r"(?i)redirect"):
        fetch(site, tmp_path / "x.zip", "/moved")


@pytest.mark.parametrize(
    ("status", "problem"), [(404, "HTTP 404 Not Found"), (403, "HTTP 403"), (503, "HTTP 503.*, 4 times")]
)
def test_a_refusal_is_one_line(site, tmp_path, status, problem):
    site.status = status
    with pytest.raises(UserError, match=problem) as error:
        fetch(site, tmp_path / "x.zip")
    assert "\n" not in str(error.value)
    assert len(site.asked) == (http.ATTEMPTS if status == 503 else 1)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "x.zip", "http://"])
def test_other_addresses_are_refused(tmp_path, address):
    with pytest.raises(UserError, match="not an address with http or https"):
        http.download(address, tmp_path / "x", print)


def test_no_server_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="no connection: "):
        http.download(f"http://127.0.0.1:{port}/x", tmp_path / "x", print)


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT", 0.05)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(UserError, match="no answer in time, 4 times"):
            http.download(address, tmp_path / "x", print)


def test_too_much_is_refused(site, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"1.2 MiB are too much"):
        fetch(site, tmp_path / "x.zip")


def test_bytes_of_another_address_are_not_continued(site, tmp_path):
    site.files["/y.zip"] = CONTENT[::-1]
    site.breaks = http.ATTEMPTS
    with pytest.raises(UserError, match="the connection broke"):
        fetch(site, tmp_path / "x.zip")
    fetch(site, tmp_path / "x.zip", "/y.zip")
    assert (tmp_path / "x.zip").read_bytes() == CONTENT[::-1]


def test_a_server_that_states_no_length_cannot_fill_the_disk(site, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "MOST_BYTES", len(CONTENT) // 2)
    monkeypatch.setattr(site, "lengths", False)
    with pytest.raises(UserError, match="more than"):
        fetch(site, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_a_redirect_from_https_to_http_is_not_followed():
    request = urllib.request.Request("https://example.org/x.zip")
    with pytest.raises(UserError, match=r"redirects to http://example\.org/y\.zip, which is not followed"):
        http._Redirects().redirect_request(request, None, 302, "", {}, "http://example.org/y.zip")
    followed = http._Redirects().redirect_request(request, None, 302, "", {}, "https://example.org/y.zip")
    assert followed.full_url == "https://example.org/y.zip"
