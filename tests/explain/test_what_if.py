# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What-if runs change what they say they change, and nothing before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from hf_attn_seq2seq.configuration_attn_seq2seq import RUNNING_STATE_ATTENTIONS
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding.loading import load
from hf_attn_seq2seq.explain import Trace, trace
from tests.explain.conftest import SENTENCES, TEXT
from tests.helpers import FAMILIES, tiny_model


MakeModel = Callable[..., Any]


def test_another_source(traced: Trace) -> None:
    child = traced.what_if(source="a dog sees the old house")
    assert child.source_tokens[:2] == ["a", "dog"]
    assert traced.children == [child]
    assert child.document["what_if"]["kind"] == "source"
    assert child.verify().passed


def test_a_forced_token(traced: Trace) -> None:
    child = traced.what_if(target={2: "chien"})
    assert child.target_tokens[:3] == [*traced.target_tokens[:2], "chien"]
    forced = [step["choice"]["forced"] for step in child.document["steps"]]
    assert forced[:3] == [True] * 3
    assert not any(forced[3:])
    assert child.verify().passed


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("uniform", [1 / 8] * 8),
        (2, [0, 0, 1, 0, 0, 0, 0, 0]),
        ([1, 1, 0, 0, 0, 0, 0, 2], [0.25, 0.25, 0, 0, 0, 0, 0, 0.5]),
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        {"attention_type": "additive"},
        *({"attention_type": kind} for kind in RUNNING_STATE_ATTENTIONS),
        {"attention_type": "local_p", "attention_query": "current"},
        {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"},
    ],
)
def test_other_weights(
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    fields: dict[str, Any],
    wanted: Any,
    expected: list[float],
) -> None:
    parent = trace(make_model(**fields), tokenizer, TEXT)
    child = parent.what_if(weights={1: wanted})
    for layer in child.layers:
        weights = child.arrays[f"attention.{layer}.weights"]
        np.testing.assert_allclose(weights[1], np.broadcast_to(expected, weights[1].shape), atol=1e-6)
    np.testing.assert_allclose(
        child.arrays["attention.0.weights"][0], parent.arrays["attention.0.weights"][0], atol=1e-6
    )
    assert child.target_tokens[:1] == parent.target_tokens[:1]
    sums = np.einsum("hs,hsd->hd", child.arrays["attention.0.weights"][1], child.arrays["attention.0.values"])
    np.testing.assert_allclose(child.arrays["attention.0.head_context"][1], sums, atol=1e-5)
    verification = child.verify()
    assert verification.passed, str(verification)


def test_the_running_state_goes_on_from_edited_weights(
    make_model: MakeModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    parent = trace(make_model(attention_type="coverage"), tokenizer, TEXT)
    child = parent.what_if(weights={1: 3})
    before, after = child.arrays["attention.0.state"][1:3]
    np.testing.assert_allclose(after - before, child.arrays["attention.0.weights"][1], atol=1e-6)
    assert (after - before)[0].argmax() == 3


@pytest.mark.parametrize(
    ("fields", "change", "hidden"),
    [
        ({"attention_type": "coverage"}, {"heads": -1}, {0: [1]}),
        ({**FAMILIES["transformer"], "decoder_layers": 2}, {"heads": 0}, {0: [0], 1: [0]}),
        ({**FAMILIES["transformer"], "decoder_layers": 2}, {"heads": [1], "layer": 1}, {1: [1]}),
    ],
)
def test_heads_left_out(
    make_model: MakeModel,
    tokenizer: PreTrainedTokenizerBase,
    fields: dict[str, Any],
    change: dict[str, Any],
    hidden: dict[int, list[int]],
) -> None:
    parent = trace(make_model(**fields, num_attention_heads=2), tokenizer, TEXT, num_beams=2)
    child = parent.what_if(**change)
    for layer in child.layers:
        sums = child.arrays[f"attention.{layer}.head_context"]
        used = np.einsum(
            "ths,hsd->thd", *(child.arrays[f"attention.{layer}.{name}"] for name in ("weights", "values"))
        )
        for head in range(2):
            np.testing.assert_allclose(sums[:, head], used[:, head] * (head not in hidden.get(layer, [])), atol=1e-5)
    assert child.document["what_if"] == {"kind": "heads", "layers": list(hidden), "heads": next(iter(hidden.values()))}
    assert child.document["run"]["num_beams"] == 2
    verification = child.verify()
    assert verification.passed, str(verification)
    child.arrays["attention.1.head_context" if 1 in hidden else "attention.0.head_context"][:] = 1
    assert not child.verify().passed
    with pytest.raises(ValueError, match="2 of 2 heads are to be left out"):
        parent.what_if(**change).what_if(heads=[0, 1])


@pytest.mark.parametrize(
    ("heads", "sentence"),
    [([], "0 of 2 heads"), ([0, 1], "2 of 2 heads are to be left out: name at least one"), (2, "no head 2")],
)
def test_bad_heads(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, heads: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        trace(make_model(num_attention_heads=2), tokenizer, TEXT, max_new_tokens=1).what_if(heads=heads)


def test_heads_of_a_model_without_attention(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="no attention: there are no heads"):
        trace(make_model(attention_type="none"), tokenizer, TEXT).what_if(heads=0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"heads": 0}, "one head: without it, it would read nothing"),
        ({}, "Give exactly one change"),
        ({"source": "a dog", "target": {0: "un"}}, "Give exactly one change"),
        ({"target": {99: "un"}}, "no step 99"),
        ({"target": {0: "xylophone"}}, "cannot be written with the tokens"),
        ({"weights": {0: 8}}, "no source token 8"),
        ({"weights": {0: [1, 2]}}, "2 weights are given for 8"),
        ({"weights": {0: [-1] * 8}}, "not negative"),
        ({"weights": {0: "even"}}, "'even' is not a word of the source"),
        ({"weights": {0: "the"}}, r"'the' occurs 2 times in the source: .* \(1, 5\)"),
        ({"target": {0: " "}}, "blank"),
        ({"target": {0: 7}}, "of type int: write it as text"),
        ({"target": {0: None}}, "of type NoneType: write it as text"),
        ({"weights": {0: 1, 1: 1}}, "one step at a time"),
        ({"weights": {0: 1}, "layer": 4}, "no layer 4"),
    ],
)
def test_bad_changes(traced: Trace, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        traced.what_if(**change)


def test_a_loaded_trace_has_no_model(traced: Trace, tmp_path: Path) -> None:
    traced.save(tmp_path / "trace.json")
    with pytest.raises(ValueError, match="read from a file"):
        Trace.load(tmp_path / "trace.json").what_if(source="a dog")


def test_great_weights_are_shares_too(traced: Trace) -> None:
    child = traced.what_if(weights={1: [1e308] * len(traced.source_tokens)})
    assert child.document["what_if"]["weights"] == pytest.approx(
        [1 / len(traced.source_tokens)] * len(traced.source_tokens)
    )


@pytest.mark.parametrize("fields", [{}, {**FAMILIES["transformer"], "decoder_layers": 2}], ids=["gru", "transformer"])
def test_changes_add_up(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]) -> None:
    model = make_model(**fields, num_attention_heads=4)
    model.generation_config.min_new_tokens = 5
    parent = trace(model, tokenizer, TEXT)
    last = parent.layers[-1]
    asked: list[dict[str, Any]] = [
        {"target": {3: "chien"}},
        {"weights": {1: 2}, "layer": -1},
        {"heads": 1, "layer": 0},
        {"heads": 2, "layer": 0},
        {"target": {0: "maison"}},
    ]
    runs = [parent]
    for change in asked:
        runs.append(runs[-1].what_if(**change))
    *_, child = runs
    assert [change["kind"] for change in child.changes] == ["target", "weights", "heads", "heads", "target"]
    words = [child.document["steps"][step]["choice"]["text"].strip() for step in (0, 3)]
    assert words == ["maison", "chien"]
    assert child.left_out(0) == [1, 2]
    assert child.arrays[f"attention.{last}.weights"][1, :, 2].tolist() == [1.0] * 4
    verification = child.verify()
    assert verification.passed, str(verification)
    other = parent
    for change in reversed(asked):  # the order does not matter
        other = other.what_if(**change)
    assert other.target_tokens == child.target_tokens
    for name, array in child.arrays.items():
        np.testing.assert_array_equal(other.arrays[name], array, name)
    # A change of the same place takes the place of the first; one behind the end has no effect.
    again = child.what_if(weights={1: "uniform"}).what_if(target={3: "tapis"}).what_if(target={1: "</s>"})
    kinds = [(change["kind"], change.get("step")) for change in again.changes]
    assert kinds == [("heads", None), ("heads", None), ("target", 0), ("weights", 1), ("target", 3), ("target", 1)]
    assert again.target_tokens == ["maison", "</s>"]
    assert again.verify().passed


def test_a_given_target_does_not_limit_what_follows(make_model: MakeModel, tokenizer: PreTrainedTokenizerBase) -> None:
    given = trace(make_model(), tokenizer, TEXT, target="le")
    child = given.what_if(target={0: "un"})
    assert child.document["run"]["max_new_tokens"] == 6


@pytest.fixture(scope="module")
def packaged() -> Trace:
    return trace(*load(), "The cat is on the mat.", num_beams=1)


def pieces_said(child: Trace) -> list[str]:
    return [token["text"] for token in child.document["target"]["tokens"]]


@pytest.mark.parametrize(
    ("step", "word", "pieces"),
    [
        (1, "chien", [" chien"]),  # a word behind others, though "chien" at the start of a text is ch|ien
        (0, "Un", ["Un"]),
        (4, "le", [" le"]),
        (5, "perroquet", [" per", "ro", "quet"]),
        (8, "!", ["!"]),
        (6, "is", ["is"]),  # goes on with " tap"
        (6, "es", ["es"]),
        (6, " et", [" et"]),
        (3, "Ġet", [" et"]),
        (3, "</s>", [""]),
    ],
)
def test_a_word_is_cut_as_it_is_behind_the_words_before(
    packaged: Trace, step: int, word: str, pieces: list[str]
) -> None:
    before = pieces_said(packaged)[:step]
    assert pieces_said(packaged) == ["Le", " chat", " est", " sur", " le", " tap", "is", ".", ""]
    child = packaged.what_if(target={step: word})
    assert pieces_said(child)[: step + len(pieces)] == [*before, *pieces]
    # The tokenizer's own reading of the whole text, where the pieces do not lie in the middle of one of its own.
    text = "".join([*before, *pieces])
    whole = packaged.tokenizer(text_target=[text], add_special_tokens=False)["input_ids"][0]
    said = [token["id"] for token in child.document["target"]["tokens"]]
    assert said[: len(whole)] == whole
    forced = [step["choice"]["forced"] for step in child.document["steps"]]
    assert forced == [number < step + len(pieces) for number in range(len(forced))]
    assert child.verify().passed


def test_a_source_word_of_several_pieces_gets_all_weight(packaged: Trace) -> None:
    parent = trace(*load(), "The xylophone is on the mat.", num_beams=1, max_new_tokens=4)
    tokens = parent.document["source"]["tokens"]
    of_word = [number for number, token in enumerate(tokens) if token["word"] == 1]
    assert len(of_word) > 1
    weights = parent.what_if(weights={1: "XYLOPHONE"}).weights()[1]
    assert weights == pytest.approx([number in of_word for number in range(len(tokens))] / np.float64(len(of_word)))
    with pytest.raises(ValueError, match=r"'dog' is not a word of the source \(The xylophone is"):
        parent.what_if(weights={1: "dog"})


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "char"])
def test_a_word_is_said_with_every_kind_of_tokenizer(kind: str) -> None:
    tokenizer = train_tokenizer(SENTENCES, kind=kind, vocab_size=60 if kind == "word" else 300)
    model = tiny_model(scale=0.4, vocab_size=len(tokenizer))
    parent = trace(model, tokenizer, TEXT, "le chat est")
    step = next(n for n, piece in enumerate(pieces_said(parent)) if "chat".startswith(piece.strip() or "-") and n)
    child = parent.what_if(target={step: "chien"})
    assert child.document["target"]["text"].startswith("le chien")
