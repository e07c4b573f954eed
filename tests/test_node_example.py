# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The example in Node translates as `generate()` does, by the same graph."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerBase

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer
from hf_attn_seq2seq.decoding.readout import Readout, save_readout
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.export.writer import export_graph
from tests.helpers import FAMILIES, tiny_model


EXAMPLE = Path(__file__).parent.parent / "examples" / "node"
PACKAGED = Path(hf_attn_seq2seq.__file__).parent / "packaged" / "en-fr"
SENTENCES = [
    "The cat is on the mat.",
    "I don't know what to do: it's a long, long story!",
    "Twenty-two naïve cafés cost £3.50 in 2019 ...",
    '"Why?", she asked; nobody\u2019s answer was heard.',
    "  Two  spaces,\tand a tab ",
    "Hello 😀, 日本語 and Здравствуйте",
    "A",
    "Tom's dogs (both of them) have eaten all of my grandmother's rock'n'roll records, one by one, at 9:45 p.m.",
]
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (EXAMPLE / "node_modules" / "onnxruntime-node").is_dir(),
    reason="needs Node and its packages: npm ci --ignore-scripts, in examples/node",
)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", EXAMPLE / "translate.mjs", *arguments], capture_output=True, text=True, timeout=120)


def in_node(folder: Path, sentences: list[str], *options: str) -> list[str]:
    done = run(*options, folder, *sentences)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def in_pytorch(
    model: AttnSeq2SeqForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    sentences: list[str],
    **options: Any,
) -> list[str]:
    inputs = tokenizer(sentences, return_tensors="pt", padding=True)
    sequences = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **options)
    return tokenizer.batch_decode(sequences, skip_special_tokens=True)


def test_the_packaged_model_with_beams() -> None:
    model, tokenizer = hf_attn_seq2seq.load("en-fr")
    assert model.generation_config.num_beams == 5
    found = in_node(PACKAGED, SENTENCES)
    assert found == in_pytorch(model, tokenizer, SENTENCES)
    assert found[:1] == in_node(PACKAGED, SENTENCES[:1])  # alone as among others


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ("--num-beams 1", {"num_beams": 1}),
        ("--num-beams 2 --length-penalty=-2.5", {"num_beams": 2, "length_penalty": -2.5}),
        ("--max-length 6", {"max_new_tokens": 5}),
    ],
)
def test_a_search_that_the_command_line_sets(options: str, same: dict[str, Any]) -> None:
    model, tokenizer = hf_attn_seq2seq.load("en-fr")
    found = in_node(PACKAGED, SENTENCES, *options.split())
    assert found == in_pytorch(model, tokenizer, SENTENCES, **same)
    assert found != in_pytorch(model, tokenizer, SENTENCES)


@pytest.mark.parametrize("saved", [{"early_stopping": "never", "min_length": 6}, {"max_length": 5}, {}])
def test_a_search_that_was_saved(saved: dict[str, Any], exported: Path) -> None:
    """What `generation_config.json` says now, not when the graph was written."""
    model, tokenizer = hf_attn_seq2seq.load(str(exported))
    path = exported / "generation_config.json"
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name != "max_new_tokens"}
    path.write_text(json.dumps({**kept, "num_beams": 3, **saved}))
    longest = {} if "max_length" in saved else {"max_new_tokens": 40}  # the positions that it has
    model.generation_config = GenerationConfig.from_pretrained(exported)
    found = in_node(exported, ["s5 s9", "s4 s8 s15"])
    assert found == in_pytorch(model, tokenizer, ["s5 s9", "s4 s8 s15"], **longest)
    assert all(found)


@pytest.mark.parametrize("beams", [1, 3])
def test_an_exported_graph_of_two_vocabularies(beams: int, tmp_path: Path) -> None:
    tokenizer = two_vocabularies()
    model = tiny_model(seed=7, scale=0.5, decoder_vocab_size=23, tie_word_embeddings=False, **FAMILIES["transformer"])
    model.generation_config.update(num_beams=beams, max_new_tokens=9)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    export_graph(str(tmp_path))
    sentences = [" ".join(f"s{4 + at * step % 16}" for at in range(1, 3 + step)) for step in (3, 5, 7, 1)]
    found = in_node(tmp_path, sentences)
    assert found == in_pytorch(model, tokenizer, sentences)
    assert len(set(found)) > 2


def two_vocabularies() -> AttnSeq2SeqTokenizer:
    sides = []
    for letter, size in (("s", 20), ("t", 23)):
        names = ["<pad>", "<s>", "</s>", "<unk>", *(f"{letter}{number}" for number in range(4, size))]
        side = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="<unk>"))
        side.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        sides.append(side)
    return AttnSeq2SeqTokenizer(
        tokenizer_object=sides[0],
        target_tokenizer_object=sides[1],
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The folder of a model with 40 learned positions, and its graph."""
    positions = {"position_type": "learned", "max_position_embeddings": 40}
    model = tiny_model(
        seed=7, scale=0.5, decoder_vocab_size=23, tie_word_embeddings=False, **FAMILIES["transformer"], **positions
    )
    model.generation_config.max_new_tokens = 9
    model.save_pretrained(tmp_path)
    two_vocabularies().save_pretrained(tmp_path)
    export_graph(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("readout", [Readout(), Readout(0, head=1, shift=1)])
def test_the_attention_is_that_which_alignment_json_names(readout: Readout, beams: int, tmp_path: Path) -> None:
    tokenizer = two_vocabularies()
    sizes = {"decoder_layers": 2, "num_attention_heads": 2, "decoder_vocab_size": 23, "tie_word_embeddings": False}
    model = tiny_model(seed=7, scale=0.5, **sizes, **FAMILIES["transformer"])
    model.generation_config.update(num_beams=beams, max_new_tokens=9)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    save_readout(readout, tmp_path)
    export_graph(str(tmp_path))
    sentences = ["s5 s9 s4 s19", "s4 s8 s15", "s7"]
    inputs = tokenizer(sentences, return_tensors="np", padding=True)
    found = TorchEngine(model).search(inputs["input_ids"], inputs["attention_mask"], layer=readout.layer)
    expected = []
    for ids, layer, source in zip(found.sequences.tolist(), found.attentions, inputs["input_ids"].tolist()):
        chosen = ids[1 : ids.index(2) + 1] if 2 in ids else ids[1:]
        rows = readout.rows(layer[:, : len(chosen)])
        looked = [tokenizer.convert_ids_to_tokens(source[row.argmax()]) if row.any() else "" for row in rows]
        tokens = tokenizer.target.convert_ids_to_tokens(chosen)
        expected.append(" ".join(f"{token}<{other}" for token, other in zip(tokens, looked)))
    lines = in_node(tmp_path, sentences, "--attention")
    assert [line.partition(" ||| ")[2] for line in lines] == expected
    assert [line.partition(" ||| ")[0] for line in lines] == in_node(tmp_path, sentences)
    assert len({pair for line in expected for pair in line.split()}) > 4
    assert any(line.endswith("<") for line in expected) == (readout.shift > 0)


USAGE = (
    "usage: node translate.mjs [--num-beams N] [--length-penalty X] [--max-length N] [--attention] FOLDER SENTENCE..."
)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([PACKAGED], USAGE),
        (["--num-beams", PACKAGED, "A"], USAGE),
        (["--num-beams", "0", PACKAGED, "A"], "--num-beams is '0': give a whole number from 1 to 1000."),
        (["--num-beams", "1001", PACKAGED, "A"], "--num-beams is '1001': give a whole number from 1 to 1000."),
        (["--num-beams", "2.5", PACKAGED, "A"], "--num-beams is '2.5': give a whole number from 1 to 1000."),
        (["--max-length", "1", PACKAGED, "A"], "--max-length is '1': give a whole number from 2 to 100000."),
        (["--max-length=", PACKAGED, "A"], "--max-length is '': give a whole number from 2 to 100000."),
        (["--length-penalty", "much", PACKAGED, "A"], "--length-penalty is 'much': give a number."),
        (["--beams", "2", PACKAGED, "A"], "Unknown option '--beams'."),
        ([EXAMPLE, "A"], f"'{EXAMPLE}' has no graph.onnx: give the folder of a model after"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(arguments: list[str | Path], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert " at " not in done.stderr.partition("\n")[2]  # no traceback


def test_a_damaged_graph_and_a_source_that_is_too_long(exported: Path) -> None:
    done = run(exported, " ".join(["s4"] * 60))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"The graph of '{exported}' cannot translate that (")
    (exported / "graph.onnx").write_bytes(b"no graph")
    done = run(exported, "s4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"The graph of '{exported}' cannot be loaded (")
