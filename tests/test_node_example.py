# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The example in Node translates as `generate()` does, by the same graph."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer
from hf_attn_seq2seq.export.writer import export_graph
from tests.helpers import FAMILIES, tiny_model


EXAMPLE = Path(__file__).parent.parent / "examples" / "node"
PACKAGED = Path(hf_attn_seq2seq.__file__).parent / "packaged" / "en-fr-small"
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


def in_node(folder: Path, sentences: list[str]) -> list[str]:
    done = subprocess.run(
        ["node", EXAMPLE / "translate.mjs", folder, *sentences], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def in_pytorch(
    model: AttnSeq2SeqForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, sentences: list[str]
) -> list[str]:
    inputs = tokenizer(sentences, return_tensors="pt", padding=True)
    sequences = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    return tokenizer.batch_decode(sequences, skip_special_tokens=True)


def test_the_packaged_model_with_beams() -> None:
    model, tokenizer = hf_attn_seq2seq.load("en-fr-small")
    assert model.generation_config.num_beams == 5
    found = in_node(PACKAGED, SENTENCES)
    assert found == in_pytorch(model, tokenizer, SENTENCES)
    assert found[:1] == in_node(PACKAGED, SENTENCES[:1])  # alone as among others


@pytest.mark.parametrize("beams", [1, 3])
def test_an_exported_graph_of_two_vocabularies(beams: int, tmp_path: Path) -> None:
    sides = []
    for letter, size in (("s", 20), ("t", 23)):
        names = ["<pad>", "<s>", "</s>", "<unk>", *(f"{letter}{number}" for number in range(4, size))]
        side = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="<unk>"))
        side.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        sides.append(side)
    tokenizer = AttnSeq2SeqTokenizer(
        tokenizer_object=sides[0],
        target_tokenizer_object=sides[1],
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    model = tiny_model(seed=7, scale=0.5, decoder_vocab_size=23, tie_word_embeddings=False, **FAMILIES["transformer"])
    model.generation_config.update(num_beams=beams, max_new_tokens=9)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    export_graph(str(tmp_path))
    sentences = [" ".join(f"s{4 + at * step % 16}" for at in range(1, 3 + step)) for step in (3, 5, 7, 1)]
    found = in_node(tmp_path, sentences)
    assert found == in_pytorch(model, tokenizer, sentences)
    assert len(set(found)) > 2


def test_without_sentences_it_says_how_it_is_called() -> None:
    done = subprocess.run(["node", EXAMPLE / "translate.mjs", PACKAGED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: node translate.mjs FOLDER SENTENCE...\n")
