# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The translation pipeline against plain `generate()` and `decode()`, and where this package is missing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    BartConfig,
    BartForConditionalGeneration,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    NllbTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.pipelines.pt_utils import KeyDataset

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnTranslationPipeline, pipeline
from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer, train_tokenizer_for
from hf_attn_seq2seq.decoding import Readout, save_readout
from hf_attn_seq2seq.explain import Trace
from hf_attn_seq2seq.explain.page import save_page
from hf_attn_seq2seq.splitting import split_text
from tests.helpers import END, FAMILIES, PAD, START, families, scrambled, tiny_model


SENTENCES = [
    "the cat is on the mat .",
    "a dog sees it !",
    "who is here ?",
    "it is a big red house near the river .",
    "hello",
]
LONG = "\n The cat sees a dog.  It is big!\n\n\tWho is here? Hello\n"
LONG_PARTS = ["\n ", "The cat sees a dog.", "  ", "It is big!", "\n\n\t", "Who is here?", " ", "Hello", "\n"]
TOKENIZER = train_tokenizer([*SENTENCES, LONG], kind="bpe", vocab_size=330)
LENGTH = 9


def own_model(family: str = "gru", **fields: Any) -> PreTrainedModel:
    model = tiny_model(**{"vocab_size": len(TOKENIZER), **FAMILIES[family], **fields})
    model.generation_config.max_new_tokens = LENGTH
    return model


def foreign_model(kind: str, vocab_size: int = len(TOKENIZER)) -> PreTrainedModel:
    ids = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END, "decoder_start_token_id": START}
    sizes: dict[str, Any] = {"d_model": 16, "vocab_size": vocab_size, **ids}
    for side in ("encoder", "decoder"):
        sizes.update({f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 16})
    model: Any
    if kind == "t5":
        model = T5ForConditionalGeneration(
            T5Config(d_model=16, vocab_size=vocab_size, d_kv=4, d_ff=16, num_layers=1, num_heads=4, **ids)
        )
        scrambled(model, scale=0.5)
    elif kind == "bart":
        model = BartForConditionalGeneration(BartConfig(max_position_embeddings=64, forced_eos_token_id=None, **sizes))
        scrambled(model, scale=0.5)
    elif kind == "m2m_100":
        torch.manual_seed(1)
        sizes.update(max_position_embeddings=64, init_std=1.0)
        model = M2M100ForConditionalGeneration(M2M100Config(**sizes)).eval()
    else:  # its sinusoids are parameters, which no noise may fill
        torch.manual_seed(1)
        model = MarianMTModel(MarianConfig(init_std=1.0, forced_eos_token_id=None, **sizes)).eval()
    model.generation_config.max_new_tokens = LENGTH
    return model


def plainly(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, **options: Any) -> list[str]:
    """The results of one sentence without any pipeline."""
    ids = model.generate(**tokenizer([text], return_tensors="pt"), **options)
    return [tokenizer.decode(row, skip_special_tokens=True) for row in ids]


# --------------------------------------------------------------------------------------------------------------------
# Shapes and texts
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2}])
@families
def test_results_are_those_of_plain_generation(family: str, options: dict[str, Any]) -> None:
    model = own_model(family)
    translator = pipeline("translation", model=model, tokenizer=TOKENIZER)
    expected = [plainly(model, TOKENIZER, text, **options) for text in SENTENCES]
    assert len({texts[0] for texts in expected}) > 2  # or nothing is shown
    for batch_size in (1, 2, 8):
        results = translator(SENTENCES, batch_size=batch_size, **options)
        if "num_return_sequences" not in options:
            results = [[result] for result in results]
        assert results == [[{"translation_text": text} for text in texts] for texts in expected]


def test_a_text_a_list_a_generator_and_a_data_set_keep_the_shapes_of_version_4() -> None:
    model = own_model()
    translator = AttnTranslationPipeline(model, TOKENIZER, num_beams=2)
    one = [[{"translation_text": plainly(model, TOKENIZER, text, num_beams=2)[0]}] for text in SENTENCES]
    assert translator(SENTENCES[0]) == one[0]
    assert translator(tuple(SENTENCES)) == translator(SENTENCES) == [result[0] for result in one]
    assert translator(SENTENCES[:1]) == one[0]
    assert translator([]) == []

    class Rows(Dataset):
        def __len__(self) -> int:
            return len(SENTENCES)

        def __getitem__(self, index: int) -> dict[str, str]:
            return {"en": SENTENCES[index]}

    for batch_size in (1, 2):
        for stream in ((text for text in SENTENCES), iter(SENTENCES), KeyDataset(Rows(), "en")):
            results = translator(stream, batch_size=batch_size)
            assert not isinstance(results, list)
            assert list(results) == one


def test_a_generator_is_read_as_results_are_asked_for() -> None:
    read = []

    def texts() -> Iterator[str]:
        for text in SENTENCES:
            read.append(text)
            yield text

    results = AttnTranslationPipeline(own_model(), TOKENIZER)(texts())
    next(iter(results))
    assert 0 < len(read) < len(SENTENCES)


def test_a_call_goes_before_the_pipeline_and_the_pipeline_before_the_model() -> None:
    model = own_model()
    model.generation_config.num_beams = 4
    texts = {beams: plainly(model, TOKENIZER, SENTENCES[0], num_beams=beams)[0] for beams in (1, 2, 4)}
    assert len(set(texts.values())) == 3
    translate = AttnTranslationPipeline(model, TOKENIZER)
    assert translate(SENTENCES[0])[0]["translation_text"] == texts[4]
    translate = AttnTranslationPipeline(model, TOKENIZER, num_beams=2)
    assert translate(SENTENCES[0])[0]["translation_text"] == texts[2]
    assert translate(SENTENCES[0], num_beams=1)[0]["translation_text"] == texts[1]
    assert translate(SENTENCES[0])[0]["translation_text"] == texts[2]


def test_ids_are_returned_too() -> None:
    model = own_model()
    translate = AttnTranslationPipeline(model, TOKENIZER)
    expected = model.generate(**TOKENIZER([SENTENCES[0]], return_tensors="pt"))[0]
    (result,) = translate(SENTENCES[0], return_tensors=True)
    assert list(result) == ["translation_token_ids"]
    assert torch.equal(result["translation_token_ids"], expected)
    (result,) = translate(SENTENCES[0], return_tensors=True, return_text=True, return_alignments=True)
    assert torch.equal(result["translation_token_ids"], expected)
    assert result["translation_text"] == TOKENIZER.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("with_library", [True, False])
def test_a_long_text_is_joined_with_its_blanks(monkeypatch: pytest.MonkeyPatch, with_library: bool) -> None:
    if not with_library:
        monkeypatch.setitem(sys.modules, "sentencex", None)
    model = own_model()
    translate = AttnTranslationPipeline(model, TOKENIZER, num_beams=2, num_return_sequences=2)
    parts = [plainly(model, TOKENIZER, part, num_beams=2, num_return_sequences=2) for part in LONG_PARTS[1::2]]
    expected = []
    for rank in range(2):
        whole = list(LONG_PARTS)
        whole[1::2] = [part[rank] for part in parts]
        expected.append({"translation_text": "".join(whole)})
    for batch_size in (1, 3):
        results = translate([LONG, SENTENCES[0]], batch_size=batch_size)
        assert results[0] == expected
        assert len(results[1]) == 2
    whole = plainly(model, TOKENIZER, LONG, num_beams=2)[0]
    assert translate(LONG, split_sentences=False, num_return_sequences=1) == [{"translation_text": whole}]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One.", ["One."]),
        (" One. Two!  Three? ", ["One.", "Two!", "Three?"]),
        ("A line\nand another\r\n\r\nand one.", ["A line", "and another", "and one."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("It costs 3.50 euros, e.g. here.", ["It costs 3.50 euros, e.g. here."]),
        ('He said "Go!" and went.', ['He said "Go!" and went.']),
        # What has no letter is no sentence.
        ("1. The cat. 2. The dog.", ["1. The cat.", "2. The dog."]),
        ("Wait ... ? Yes. !", ["Wait ... ?", "Yes. !"]),
        ("The cat.\n2.\nThe dog. 3.", ["The cat.", "2.", "The dog. 3."]),
        ("...", ["..."]),
    ],
)
@pytest.mark.parametrize("with_library", [True, False])
def test_sentences_and_whitespace_together_are_the_text(
    monkeypatch: pytest.MonkeyPatch, with_library: bool, text: str, sentences: list[str]
) -> None:
    if not with_library:
        monkeypatch.setitem(sys.modules, "sentencex", None)
    pieces = split_text(text)
    assert [piece.sentence for piece in pieces] == sentences
    assert "".join(piece.before + piece.sentence + piece.after for piece in pieces) == text


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "Mr. Smith paid 1.5 million, i.e. a lot. Did he mind?", 2),
        ("en", "The cat is on the mat .  The dog sleeps .", 2),
        ("en", '"Go away!" she said. He left.', 2),
        ("en", "J. K. Rowling came. She sat down.", 2),
        ("en", "A title\n\nThe first words go here", 2),
        ("en", "No full stop at all", 1),
        ("en", "Wait... What?! 😀 Yes.", 3),
        ("de", "Er kam am 3. Mai mit Dr. Müller. Dann ging er.", 2),
        ("ru", "Он родился в 1980 г. в Москве. Привет!", 2),
        ("zh", "今天天气很好。你去哪里？我去学校！", 3),
        ("ja", "これはペンです。行く？", 2),
        ("hi", "यह एक वाक्य है। यह दूसरा है।", 2),
        ("ar", "كيف حالك؟ أنا بخير. شكرا.", 3),
        ("hy", "Սա նախադասություն է։ Սա երկրորդն է։", 2),
        ("am", "ይህ ዓረፍተ ነገር ነው። ሌላ ነው።", 2),
        # Of a language that nobody told: the full stops of all scripts are known.
        ("en", "今天天气很好。你去哪里？", 2),
        ("en", "यह एक वाक्य है। यह दूसरा है।", 2),
        ("xx", "Hello there. How are you?", 2),
    ],
)
def test_sentences_of_many_scripts(language: str, text: str, sentences: int) -> None:
    split = [piece.sentence for piece in split_text(text, language)]
    assert len(split) == sentences, split
    assert "".join("".join(split).split()) == "".join(text.split())  # nothing is lost but blanks
    assert all(sentence == sentence.strip() != "" for sentence in split)


def test_abbreviations_end_no_sentence_where_the_library_knows_them() -> None:
    assert [piece.sentence for piece in split_text("Mr. Smith is here. He sits.")] == [
        "Mr. Smith is here.",
        "He sits.",
    ]
    assert len(split_text("Mr. Smith is here.", "en_XX")) == 1
    assert len(split_text("Mr. Smith is here.", "fr_XX")) == 2  # French writes it without a stop


def test_without_the_library_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sentencex", None)
    warnings = []
    monkeypatch.setattr(hf_attn_seq2seq.splitting, "_warn_once", warnings.append)
    split_text("One sentence.")
    assert warnings == []
    split_text("Mr. Smith. Two.")
    assert len(warnings) == 1
    assert "sentencex is not installed" in warnings[0]


def test_sentences_written_without_blanks_are_parted_in_a_language_with_blanks() -> None:
    translate = AttnTranslationPipeline(own_model(), TOKENIZER)
    translate.tokenizer = _Says(TOKENIZER, "Well.")
    assert translate("你好。再见。")[0]["translation_text"] == "Well. Well."
    translate.tokenizer = _Says(TOKENIZER, "好。")
    assert translate("你好。再见。")[0]["translation_text"] == "好。好。"


class _Says:
    """A tokenizer that decodes anything to one text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: str) -> None:
        self.tokenizer, self.text = tokenizer, text

    def __getattr__(self, name: str) -> Any:
        if name == "_build_translation_inputs":
            raise AttributeError(name)
        return getattr(self.tokenizer, name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.tokenizer(*args, **options)

    def decode(self, *args: Any, **options: Any) -> str:
        return self.text


def test_a_source_that_is_too_long_is_cut_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(hf_attn_seq2seq.pipeline_attn_seq2seq.logger, "warning", warnings.append)
    tokenizer = train_tokenizer(SENTENCES, kind="word", vocab_size=100, model_max_length=6)
    model = own_model(vocab_size=len(tokenizer))
    ids = tokenizer([SENTENCES[3]], return_tensors="pt", truncation=True)
    assert ids["input_ids"].shape[1] == 6
    cut, whole = (
        tokenizer.decode(model.generate(**given)[0], skip_special_tokens=True)
        for given in (ids, tokenizer([SENTENCES[3]], return_tensors="pt", truncation=False))
    )
    assert cut != whole
    translate = AttnTranslationPipeline(model, tokenizer)
    translate(SENTENCES[4])
    assert warnings == []
    assert translate(SENTENCES[3])[0]["translation_text"] == cut
    assert len(warnings) == 1
    assert "11 tokens was truncated to the 6" in warnings[0]
    assert translate(SENTENCES[3], truncation=False)[0]["translation_text"] == whole
    assert len(warnings) == 1
    # A model whose positions end is not led beyond them by a tokenizer that knows no limit.
    translate = AttnTranslationPipeline(foreign_model("bart"), TOKENIZER)
    assert translate("the cat " * 60)[0]["translation_text"]
    assert "truncated to the 64" in warnings[1]


def test_a_model_that_says_no_length_is_not_cut_at_twenty_tokens() -> None:
    model = own_model()
    model.generation_config.max_new_tokens = None
    model.generation_config.eos_token_id = None
    ids = AttnTranslationPipeline(model, TOKENIZER)("hello", return_tensors=True)[0]["translation_token_ids"]
    assert len(ids) == 1 + 256


def test_two_vocabularies() -> None:
    tokenizer = train_tokenizer_for(
        TokenizerSettings(shared=False, vocab_size=300), SENTENCES, [text.upper() for text in SENTENCES]
    )
    model = tiny_model(vocab_size=len(tokenizer), decoder_vocab_size=len(tokenizer.target), **FAMILIES["gru"])
    model.generation_config.max_new_tokens = LENGTH
    expected = [{"translation_text": plainly(model, tokenizer, text)[0]} for text in SENTENCES]
    assert AttnTranslationPipeline(model, tokenizer)(SENTENCES, batch_size=2) == expected


# --------------------------------------------------------------------------------------------------------------------
# Models and tokenizers of Transformers
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bart", "marian", "t5"])
def test_models_of_transformers(kind: str) -> None:
    model = foreign_model(kind)
    translate = pipeline("translation", model=model, tokenizer=TOKENIZER, num_beams=2)
    expected = [plainly(model, TOKENIZER, text, num_beams=2)[0] for text in SENTENCES]
    assert len(set(expected)) > 2
    for batch_size in (1, 3):
        assert [result["translation_text"] for result in translate(SENTENCES, batch_size=batch_size)] == expected


def test_prefix_and_options_of_a_task() -> None:
    model = foreign_model("t5")
    prefix = "translate English to French: "
    model.config.task_specific_params = {"translation_en_to_fr": {"prefix": prefix, "num_beams": 3, "max_length": 6}}
    expected = plainly(model, TOKENIZER, prefix + SENTENCES[0], num_beams=3, max_new_tokens=5)[0]
    assert expected != plainly(model, TOKENIZER, SENTENCES[0], num_beams=3, max_new_tokens=5)[0]
    model.generation_config.max_new_tokens = None
    expected = [{"translation_text": expected}]
    assert pipeline("translation_en_to_fr", model=model, tokenizer=TOKENIZER)(SENTENCES[0]) == expected
    translate = AttnTranslationPipeline(model, TOKENIZER)
    assert translate(SENTENCES[0], src_lang="en", tgt_lang="fr") == expected
    (result,) = translate(SENTENCES[0], src_lang="en", tgt_lang="fr", return_alignments=True)
    assert " ".join(result["alignment"]["source_words"]) == SENTENCES[0]  # none of the prefix
    model.config.prefix = prefix
    assert translate(SENTENCES[0], num_beams=3, max_length=6) == expected


def test_tokenizers_of_many_languages() -> None:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *sorted(set("".join(SENTENCES)) - {" "})]
    tokenizer = NllbTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=[],
        extra_special_tokens=["eng_Latn", "fra_Latn", "deu_Latn"],
    )
    model = foreign_model("bart", vocab_size=len(tokenizer))
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.decoder_start_token_id = tokenizer.eos_token_id
    translate = pipeline("translation", model=model, tokenizer=tokenizer, src_lang="eng_Latn", tgt_lang="fra_Latn")
    for language in ("fra_Latn", "deu_Latn"):
        tokenizer.src_lang = "eng_Latn"
        forced = tokenizer.convert_tokens_to_ids(language)
        expected = [plainly(model, tokenizer, text, forced_bos_token_id=forced)[0] for text in SENTENCES]
        for batch_size in (1, 3):
            results = translate(SENTENCES, tgt_lang=language, batch_size=batch_size)
            assert [result["translation_text"] for result in results] == expected
        (result,) = translate(SENTENCES[:1], tgt_lang=language, explain=True)
        assert result["translation_text"] == expected[0]
        assert result["explanation"].document["target"]["tokens"][0]["token"] == language
    with pytest.raises(ValueError, match="src_lang"):
        pipeline("translation", model=model, tokenizer=tokenizer)("hello")


OTHER_TASKS = pytest.mark.parametrize(
    ("task", "name"), [("summarization", "summary"), ("text2text-generation", "generated")]
)


@pytest.mark.parametrize("kind", [*FAMILIES, "pointer", "bart", "t5", "m2m_100"])
@OTHER_TASKS
def test_other_tasks_of_version_4_take_a_text_as_a_whole(task: str, name: str, kind: str) -> None:
    if kind in FAMILIES or kind == "pointer":
        model = own_model("gru", pointer=True) if kind == "pointer" else own_model(kind)
    else:
        model = foreign_model(kind)
        model.generation_config.max_new_tokens = LENGTH
    summarizer = pipeline(task, model=model, tokenizer=TOKENIZER)
    for options in ({}, {"num_beams": 3, "num_return_sequences": 2}):
        expected = [{f"{name}_text": text} for text in plainly(model, TOKENIZER, LONG, **options)]
        assert summarizer(LONG, **options) == expected
    texts = [LONG, SENTENCES[0]]
    expected = [{f"{name}_text": plainly(model, TOKENIZER, text)[0]} for text in texts]
    assert summarizer(texts, batch_size=2) == expected


@OTHER_TASKS
def test_other_tasks_have_the_prefix_and_the_options_of_the_model(task: str, name: str) -> None:
    model = foreign_model("t5")
    model.generation_config.max_new_tokens = LENGTH
    model.config.task_specific_params = {task: {"prefix": "summarize: ", "num_beams": 3}}
    expected = plainly(model, TOKENIZER, f"summarize: {LONG}", num_beams=3)
    assert pipeline(task, model=model, tokenizer=TOKENIZER)(LONG) == [{f"{name}_text": expected[0]}]


@OTHER_TASKS
def test_no_included_model_is_for_other_tasks(task: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"No included model is for '{task}': give one as model"):
        pipeline(task)


@pytest.mark.parametrize(("source", "target"), [("en", "fr"), ("fr", "en")])
def test_the_included_model_of_a_direction(source: str, target: str) -> None:
    translator = pipeline(f"translation_{source}_to_{target}")
    assert translator.tokenizer.init_kwargs["src_lang"] == source
    text = "The cat sleeps." if source == "en" else "Le chat dort."
    assert translator(text) == pipeline("translation", model=f"{source}-{target}")(text)


def test_a_direction_that_no_included_model_has() -> None:
    with pytest.raises(ValueError, match="No included model is for 'translation_de_to_en': give one as model"):
        pipeline("translation_de_to_en")


# --------------------------------------------------------------------------------------------------------------------
# Alignments and explanations
# --------------------------------------------------------------------------------------------------------------------

WORDS = train_tokenizer(SENTENCES, kind="word", vocab_size=100)


def links_by_hand(model: PreTrainedModel, text: str, num_beams: int) -> list[tuple[int, int]]:
    """Of a tokenizer whose tokens are words: for each token the word whose weight, of the mean head, is greatest."""
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            part.set_attn_implementation("eager")
    inputs = WORDS([text], return_tensors="pt")
    options = {"num_beams": num_beams, "return_dict_in_generate": True, "output_attentions": True}
    outputs = model.generate(**inputs, **options)
    links, word = [], 0
    for step, token in enumerate(outputs.sequences[0, 1:].tolist()):
        if token in WORDS.all_special_ids:
            continue
        row = 0 if num_beams == 1 else int(outputs.beam_indices[0, step])
        weights = outputs.cross_attentions[step][-1][row, :, -1].mean(0)
        looked_at = int(weights.argmax())
        if looked_at < inputs["input_ids"].shape[1] - 1:  # the end token is no word
            links.append((looked_at, word))
        word += 1
    return sorted(links)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("kind", ["gru", "transformer", "bart", "m2m_100", "t5"])
def test_alignments_are_the_attention_of_the_run(kind: str, num_beams: int) -> None:
    if kind in FAMILIES:
        model: Any = tiny_model(vocab_size=len(WORDS), **FAMILIES[kind])
        model.generation_config.max_new_tokens = LENGTH
    else:
        model = foreign_model(kind, vocab_size=len(WORDS))
    translate = pipeline("translation", model=model, tokenizer=WORDS, num_beams=num_beams)
    before = model.config._attn_implementation
    results = translate(SENTENCES, batch_size=3, return_alignments=True)
    assert model.config._attn_implementation == before
    by_hand = [links_by_hand(model, text, num_beams) for text in SENTENCES]
    assert sum(map(len, by_hand)) > 5
    for text, result, links in zip(SENTENCES, results, by_hand):
        alignment = result["alignment"]
        assert alignment["links"] == links
        assert alignment["pharaoh"] == " ".join(f"{source}-{target}" for source, target in links)
        assert alignment["source_words"] == text.split()
        assert "".join(alignment["target_words"]) == result["translation_text"].replace(" ", "")
        json.dumps(alignment)


def test_alignments_of_a_long_text_count_on() -> None:
    model = own_model()
    translate = AttnTranslationPipeline(model, TOKENIZER, return_alignments=True, num_beams=2, num_return_sequences=2)
    whole = translate(LONG, batch_size=2)
    parts = [translate(part) for part in LONG_PARTS[1::2]]
    for rank in range(2):
        expected: dict[str, list[Any]] = {"links": [], "source_words": [], "target_words": []}
        for part in parts:
            alignment = part[rank]["alignment"]
            start = len(expected["source_words"]), len(expected["target_words"])
            expected["links"] += [(start[0] + source, start[1] + target) for source, target in alignment["links"]]
            for side in ("source_words", "target_words"):
                expected[side] += alignment[side]
        alignment = whole[rank]["alignment"]
        assert {key: alignment[key] for key in expected} == expected


def test_a_folder_says_how_its_attention_is_read(tmp_path: Path) -> None:
    model = own_model("transformer", decoder_layers=2)
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    usual = pipeline(model=tmp_path)(SENTENCES[3], return_alignments=True)[0]
    save_readout(Readout(layer=0, head=1, shift=1), tmp_path)
    read = pipeline(model=tmp_path)(SENTENCES[3], return_alignments=True)[0]
    explained = pipeline(model=tmp_path)(SENTENCES[3], return_alignments=True, explain=True)[0]
    assert read["translation_text"] == usual["translation_text"]
    assert read["alignment"]["links"] != usual["alignment"]["links"]
    assert set(read["alignment"]["links"]) == explained["explanation"].alignment(Readout(0, 1, 1)).links


@pytest.mark.parametrize("kind", ["gru", "transformer", "marian"])
def test_an_explanation_is_the_trace_of_the_translation(kind: str, tmp_path: Path) -> None:
    model = own_model(kind) if kind in FAMILIES else foreign_model(kind)
    translate = pipeline("translation", model=model, tokenizer=TOKENIZER, num_beams=2, batch_size=4)
    plain = translate([SENTENCES[0], LONG], return_alignments=True, return_tensors=True, return_text=True)
    settings = model.generation_config.to_dict()
    explained = translate(
        [SENTENCES[0], LONG], return_alignments=True, return_tensors=True, return_text=True, explain=True
    )
    assert model.generation_config.to_dict() == settings
    for with_trace, without in zip(explained, plain):
        traces = with_trace.pop("explanation")
        ids = with_trace.pop("translation_token_ids").tolist()
        assert [token for token in ids if token] == [
            token for token in without.pop("translation_token_ids").tolist() if token
        ]
        assert with_trace == without
        if isinstance(traces, list):
            assert [one.document["source"]["text"] for one in traces] == LONG_PARTS[1::2]
        else:
            assert isinstance(traces, Trace)
            assert traces.document["target"]["text"] == with_trace["translation_text"]
            assert traces.verify().passed
            assert traces.document["run"]["num_beams"] == 2
        save_page(traces, tmp_path / "page.html")
        assert (tmp_path / "page.html").stat().st_size > 10_000


# --------------------------------------------------------------------------------------------------------------------
# What is refused
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ("", "The text is blank: give it some words or leave it out."),
        (" \n", "The text is blank: give it some words or leave it out."),
        (["a", "\t"], "Text 1 is blank: give it some words or leave it out."),
        ([None], "Text 0 is of type NoneType: give text, or a list, generator or KeyDataset of it."),
        (b"a", "The text is of type bytes: give text, or a list, generator or KeyDataset of it."),
        (3, "The text is of type int: give text, or a list, generator or KeyDataset of it."),
        ("a \ud800", "The text is not valid Unicode from character 3 on: encode it as UTF-8."),
    ],
)
def test_a_text_that_is_none_is_refused(inputs: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        AttnTranslationPipeline(own_model(), TOKENIZER)(inputs)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="The tokenizer is missing"):
        pipeline(model=own_model())
    with pytest.raises(ValueError, match="The task 'fill-mask' is unknown"):
        pipeline("fill-mask", model=own_model(), tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="The task 'None' is unknown"):
        pipeline(None, model=own_model(), tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="of type int: give a model, or its folder or name"):
        pipeline(model=3)
    with pytest.raises(ValueError, match="There is no model 'no/such-model'"):
        pipeline(model="no/such-model")
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=40))
    with pytest.raises(ValueError, match="model of type gpt2"):
        pipeline(model=gpt2, tokenizer=TOKENIZER)
    translate = AttnTranslationPipeline(own_model(attention_type="none"), TOKENIZER)
    for options in ({}, {"explain": True}):
        with pytest.raises(ValueError, match="has no attention"):
            translate("hello", return_alignments=True, **options)
    assert translate("hello", explain=True)[0]["explanation"].layers == []
    translate = AttnTranslationPipeline(own_model(), TOKENIZER)
    for options in ({"num_beams": 2, "num_return_sequences": 2}, {"do_sample": True}):
        with pytest.raises(ValueError, match="found without sampling: leave out"):
            translate("hello", explain=True, **options)
    with pytest.raises(ValueError, match="does not take num_beens"):
        translate("hello", explain=True, num_beens=2)
    with pytest.raises(ValueError, match="num_beens"):
        translate("hello", num_beens=2)


# --------------------------------------------------------------------------------------------------------------------
# By name, and beside the weights
# --------------------------------------------------------------------------------------------------------------------


def test_the_packaged_model_is_the_default() -> None:
    translate = pipeline()
    assert translate.model.dtype == torch.float32
    (result,) = translate("The cat is on the mat.")
    expected = hf_attn_seq2seq.load()
    assert result["translation_text"] == plainly(*expected, "The cat is on the mat.")[0]


def test_the_task_is_registered_and_needs_no_trust_where_the_package_is(tmp_path: Path) -> None:
    model = own_model()
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())["custom_pipelines"]
    assert written == {
        "attn-translation": {"impl": "pipeline_attn_seq2seq.AttnTranslationPipeline", "pt": ["AutoModelForSeq2SeqLM"]}
    }
    code = Path(hf_attn_seq2seq.pipeline_attn_seq2seq.__file__).read_text()
    assert (tmp_path / "pipeline_attn_seq2seq.py").read_text() == code
    for config in (model.config, AutoConfig.from_pretrained(tmp_path)):
        assert not hasattr(config, "custom_pipelines")  # it would have Transformers ask for trust
    expected = [{"translation_text": plainly(model, TOKENIZER, SENTENCES[0])[0]}]
    translate = transformers.pipeline("attn-translation", model=str(tmp_path), device="cpu")
    assert type(translate) is AttnTranslationPipeline
    assert translate(SENTENCES[0]) == expected
    for options in ({}, {"device": -1}, {"local_files_only": True}, {"tokenizer": tmp_path, "dtype": "float32"}):
        assert pipeline("translation", tmp_path, **options)(SENTENCES[0]) == expected


STRANGER = """
import importlib.abc
import json
import sys


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("hf_attn_seq2seq", "sentencex"):
            raise ImportError(f"This machine has no {name}.")


sys.meta_path.insert(0, Blocked())
from transformers import pipeline

texts, folders = json.loads(sys.argv[1]), sys.argv[2:]
report = []
for folder in folders:
    translate = pipeline("attn-translation", model=folder, trust_remote_code=True)
    report.append({"module": type(translate).__module__, "results": translate(texts, batch_size=3, num_beams=2)})
    for option in ("return_alignments", "explain"):
        try:
            translate(texts[0], **{option: True})
        except ImportError as error:
            report[-1][option] = str(error)
inferred = pipeline(model=folders[0], trust_remote_code=True)
inferred.save_pretrained(folders[0] + "-again")
again = pipeline("attn-translation", model=folders[0] + "-again", trust_remote_code=True)
report[0]["again"] = again(texts, num_beams=2)
print("REPORT" + json.dumps(report))
"""


def test_the_pipeline_travels_with_the_weights(tmp_path: Path) -> None:
    texts = [SENTENCES[0], "Who is here?  It is big!\n"]
    expected = []
    for kind in ("gru", "marian"):
        model = own_model(kind) if kind == "gru" else foreign_model(kind)
        translate = pipeline(model=model, tokenizer=TOKENIZER)
        translate.save_pretrained(tmp_path / kind)
        expected.append(translate(texts, num_beams=2))
    assert sorted(path.name for path in (tmp_path / "marian").glob("*.py")) == [
        "copying.py",
        "messages.py",
        "pipeline_attn_seq2seq.py",
        "splitting.py",
    ]
    script = tmp_path / "stranger.py"
    script.write_text(STRANGER)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.update(HF_MODULES_CACHE=str(tmp_path / "modules"), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    command = [sys.executable, str(script), json.dumps(texts), str(tmp_path / "gru"), str(tmp_path / "marian")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "sentencex is not installed" in done.stderr
    report = json.loads(done.stdout.partition("REPORT")[2])
    for seen, results in zip(report, expected):
        assert seen["module"].startswith("transformers_modules.")
        assert seen["results"] == results
        assert 'run pip install "hf_attn_seq2seq"' in seen["return_alignments"]
        assert 'run pip install "hf_attn_seq2seq[explain]"' in seen["explain"]
    assert report[0]["again"] == expected[0]
