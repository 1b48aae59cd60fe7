"""Tests that pictures are read, normalised and encoded by a tiny network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from robench.api.data import Interactions
from robench.api.dataset import DatasetConfig
from robench.api.errors import DataError
from robench.engine.data.prepared import Prepared
from robench.pretrained.images import ImageEncoder, Preprocessing, image_encoder_identity
from robench.run.vectors import add_vectors, digest_of_vectors
from robench.testing.worlds import catalogue

SETTINGS = {
    "size": {"height": 16, "width": 16},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.25, 0.2],
    "rescale_factor": 1 / 255,
    "resample": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_vision(tmp_path_factory.mktemp("vision"))


def tiny_vision(folder):
    """Writes a vision transformer with one layer, and returns ``folder``."""
    from transformers import ViTConfig, ViTModel  # noqa: PLC0415  # it takes seconds to import

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder


def preprocessing(tmp_path, **changes):
    (tmp_path / "p.json").write_text(json.dumps(SETTINGS | changes))
    return Preprocessing.read(tmp_path / "p.json")


def test_a_vector_is_the_scaled_state_of_the_first_token(folder):
    encoder = ImageEncoder.load(str(folder))
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    vectors = encoder.forward(pixels)
    states = encoder.net(pixel_values=pixels).last_hidden_state[:, 0].double()
    expected = states / states.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(vectors.double(), expected, rtol=1e-5, atol=1e-6)
    assert not any(part.requires_grad for part in encoder.net.parameters())
    assert not torch.equal(vectors[0], vectors[1])


def test_a_picture_is_resized_and_normalised_channel_by_channel(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (40, 20), (255, 0, 51)).save(tmp_path / "a.png")
    pixels = preprocessing(tmp_path).pixels(tmp_path / "a.png")
    assert pixels.shape == (3, 16, 16)
    for channel, value in zip(pixels, [(1 - 0.5) / 0.5, (0 - 0.4) / 0.25, (0.2 - 0.3) / 0.2], strict=True):
        np.testing.assert_allclose(channel, value, rtol=1e-5)


def test_the_shorter_edge_is_resized_and_the_middle_kept(tmp_path):
    image = pytest.importorskip("PIL.Image")
    values = np.zeros((20, 40, 3), dtype=np.uint8)
    values[:, 10:30] = 255
    image.fromarray(values).save(tmp_path / "a.png")
    settings = preprocessing(
        tmp_path, size={"shortest_edge": 20}, crop_size=20, image_mean=[0, 0, 0], image_std=[1, 1, 1]
    )
    np.testing.assert_array_equal(settings.pixels(tmp_path / "a.png"), np.ones((3, 20, 20), dtype=np.float32))
    larger = preprocessing(tmp_path, size={"shortest_edge": 20}, crop_size=44, image_mean=[0, 0, 0], do_resize=False)
    assert larger.pixels(tmp_path / "a.png").shape == (3, 44, 44)


def test_a_broken_picture_is_refused_in_one_line(tmp_path):
    pytest.importorskip("PIL.Image")
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a picture that can be read") as error:
        preprocessing(tmp_path).pixels(tmp_path / "a.png")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["[]", "{}", "nothing", '{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "size": []}']
)
def test_settings_that_are_no_image_processor_are_refused(tmp_path, content):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(DataError, match="not the settings of an image processor"):
        Preprocessing.read(tmp_path / "p.json")


def test_a_network_that_reads_no_pixels_is_refused(tmp_path, folder):
    from tests.tiny_bert import tiny_bert  # noqa: PLC0415

    tiny_bert(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        ImageEncoder.load(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    with pytest.raises(DataError, match="reads no pixels"):
        ImageEncoder.load(str(tmp_path))


def data_of(ids):
    rows = Interactions.from_rows([list(range(len(ids)))], len(ids))
    data = Prepared(rows, rows, rows, catalogue(len(ids)), ("u",))
    return replace(data, catalogue=replace(data.catalogue, ids=tuple(ids), vectors=None))


def test_pictures_are_encoded_once_and_equal_ones_share_an_encoding(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "cache"))
    encoded = []
    monkeypatch.setattr(Preprocessing, "pixels", lambda self, path: fake_pixels(encoded, path))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, content in (("a.jpg", b"1"), ("b.PNG", b"2"), ("c.jpg", b"1"), ("other.jpg", b"3"), ("x.txt", b"4")):
        (pictures / name).write_bytes(content)
    config = DatasetConfig.model_validate({"item_vectors": {"images": pictures, "encoder": str(folder)}})
    data, again = (add_vectors(data_of(["a", "b", "c", "d"]), config) for _ in range(2))
    assert sorted(encoded) == [b"1", b"2"]
    vectors = data.catalogue.vectors
    np.testing.assert_array_equal(vectors, again.catalogue.vectors)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert not vectors[3].any()
    assert data.summary.notes == ("vectors of 16 numbers: 3 of 4 items have one, but not 'd'",)
    digest = digest_of_vectors(config.item_vectors)
    (pictures / "a.jpg").write_bytes(b"5")
    assert digest_of_vectors(config.item_vectors) != digest
    (pictures / "a.png").write_bytes(b"5")
    with pytest.raises(DataError, match="item 'a' has two pictures"):
        add_vectors(data_of(["a"]), config)
    with pytest.raises(DataError, match="no such folder"):
        add_vectors(data_of(["a"]), DatasetConfig(item_vectors={"images": tmp_path / "no", "encoder": str(folder)}))


def fake_pixels(encoded, path):
    encoded.append(path.read_bytes())
    generator = torch.Generator().manual_seed(int(path.read_bytes()))
    return torch.randn(3, 16, 16, generator=generator).numpy()


def test_the_identity_covers_the_weights_and_the_preprocessing(tmp_path, folder):
    first = image_encoder_identity(str(folder))
    text = (folder / "preprocessor_config.json").read_text()
    (folder / "preprocessor_config.json").write_text(text.replace("0.25", "0.26"))
    assert image_encoder_identity(str(folder)) != first
    (folder / "preprocessor_config.json").write_text(text)
    assert image_encoder_identity(str(folder)) == first
