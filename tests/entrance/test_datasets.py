"""Tests data sets on the web: their list, their download and their use in suites.

A server on this machine replaces the web.
"""

import hashlib
import io
import json
import zipfile
from typing import ClassVar

import numpy as np
import pytest
from tests.loopback import Site, serving

from robench.api import Dataset, Ratings
from robench.api.download import Download
from robench.api.errors import UserError
from robench.entrance.datasets import describe_datasets, list_datasets, prepare_dataset
from robench.files import http
from robench.host.discovery import Host
from robench.host.registry import Entry, Registry
from robench.run.preview import make_preview

ROWS = "".join(f"{user} {item}\n" for user in range(20) for item in range(user % 5, 12))


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.setattr(http, "PAUSE", 0.0)
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "cache"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("tiny/log.txt", ROWS)
    with serving(Site({"/tiny.zip": content.getvalue()})) as one:
        yield one


@pytest.fixture
def registry(site):
    md5 = hashlib.md5(site.files["/tiny.zip"]).hexdigest()

    class Tiny(Dataset):
        """A data set of twenty users."""

        licence = "mine"
        source = "https://example.org"
        downloads: ClassVar = (Download(f"{site.address}/tiny.zip", 1234, f"md5:{md5}", ("https://example.org/md5",)),)

        def load(self):
            rows = np.loadtxt(self.unpacked() / "tiny" / "log.txt", dtype=np.int64)
            return Ratings(rows[:, 0], rows[:, 1])

        def fingerprint(self):
            return hashlib.sha256((self.unpacked() / "tiny" / "log.txt").read_bytes()).hexdigest()

    found = Registry.of(Host.discover())
    return Registry(found.entries | {"dataset": [Entry("tiny", "mine:x", Tiny)]}, {})


def test_a_suite_names_what_was_prepared(registry, site, tmp_path):
    suite = tmp_path / "tiny.yaml"
    suite.write_text("name: tiny\ndatasets: [{name: tiny}]\nmodels: [popularity]\n")
    refusals = make_preview(suite, registry, None, (), ()).refusals
    assert len(refusals) == 1
    assert "tiny.yaml:2: datasets[0]: tiny: the files of mine/tiny are not on this machine" in refusals[0]
    assert "robench data prepare mine/tiny" in refusals[0]
    lines = prepare_dataset("mine/tiny", (), registry)
    assert "its md5 is the published one" in lines[1]
    assert lines[-1] == "in a suite: datasets: [{name: tiny}]"
    preview = make_preview(suite, registry, None, (), ())
    assert not preview.refusals
    assert "tiny: 200 rows, 200 interactions of 20 users and 12 items" in preview.data
    assert prepare_dataset("tiny", (), registry)[0].startswith("tiny is here already: ")
    assert len(site.asked) == 1


def test_the_list_shows_where_facts_were_read_and_what_is_here(registry):
    text = "\n".join(describe_datasets(registry))
    for part in (
        "tiny: A data set of twenty users.",
        "licence: mine",
        "1.2 KiB",
        "md5 ",
        "read at https://example.org/md5",
    ):
        assert part in text
    assert "not on this machine: robench data prepare tiny" in text
    prepare_dataset("tiny", (), registry)
    text = "\n".join(describe_datasets(registry))
    assert "sha256 " in text
    assert "here: " in text
    facts = json.loads(json.dumps(list_datasets(registry)))
    assert facts[0]["files"][0]["checked"].startswith("md5:")


def test_a_failed_download_says_what_to_do_by_hand(registry, site, tmp_path):
    site.status = 404
    with pytest.raises(UserError) as error:
        prepare_dataset("tiny", (), registry)
    address = f"{site.address}/tiny.zip"
    advice = f"or download {address} in a browser, and run: robench data prepare tiny --from tiny.zip"
    assert str(error.value) == f"{address}: HTTP 404 Not Found ({advice})"
    (tmp_path / "tiny.zip").write_bytes(site.files["/tiny.zip"])
    assert "is in" in prepare_dataset("tiny", (str(tmp_path / "tiny.zip"),), registry)[0]


def test_files_that_differ_from_those_before_are_said(site, registry, tmp_path):
    class Unchecked(registry.entries["dataset"][0].target):
        downloads: ClassVar = (Download(f"{site.address}/tiny.zip"),)

    registry.entries["dataset"] = [Entry("tiny", "mine:x", Unchecked)]
    first = prepare_dataset("tiny", (), registry)
    assert "no checksum is published" in first[1]
    assert not any("the files differ" in line for line in first)
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as file:
        file.writestr("tiny/log.txt", ROWS + "0 0\n")
    second = prepare_dataset("tiny", (str(tmp_path / "tiny.zip"),), registry)
    assert any("the files differ from those before" in line for line in second)


def test_other_data_sets_have_no_files_on_the_web(registry):
    registry.entries["dataset"] += Registry.of(Host.discover()).entries["dataset"][:2]
    with pytest.raises(UserError, match="csv has no files on the web"):
        prepare_dataset("csv", (), registry)


def test_the_built_in_catalogue_has_no_checksum_without_its_place():
    facts = list_datasets(Registry.of(Host.discover()))
    assert {"movielens-100k", "movielens-32m", "amazon-beauty-2014", "amazon-video-games-2023"} <= {
        f["name"] for f in facts
    }
    for fact in facts:
        assert fact["licence"]
        assert fact["source"].startswith("https://")
        for one in fact["downloads"]:
            assert one["url"].startswith("https://")
            assert bool(one["checksum"] or one["size"]) == bool(one["read_at"])
            algorithm, _, digest = one["checksum"].partition(":")
            assert (algorithm, len(digest)) in {("md5", 32), ("sha256", 64), ("", 0)}


def test_the_commands_print_lines_and_json(robench, tmp_path):
    (tmp_path / "log.txt").write_text(ROWS)
    (tmp_path / "ml-1m.zip").write_bytes(b"no archive")
    environment = {"ROBENCH_CACHE": str(tmp_path / "cache")}
    shown = robench(tmp_path, "data", "inspect", "log.txt", **environment)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "  read as: {name: sequences, path: log.txt}" in shown.stdout
    facts = json.loads(robench(tmp_path, "data", "inspect", "log.txt", "--json", **environment).stdout)
    assert facts[0]["settings"] == {"name": "sequences", "path": "log.txt"}
    assert facts[0]["summary"]["rows"] == 200
    refused = robench(tmp_path, "data", "prepare", "movielens-1m", "--from", "ml-1m.zip", **environment)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("ml-1m.zip: its md5 is ")
    assert refused.stderr.count("\n") == 1
    assert json.loads(robench(tmp_path, "data", "list", "--json", **environment).stdout)[0]["name"] == "movielens-100k"
