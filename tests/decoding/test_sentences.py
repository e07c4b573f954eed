# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""A text of several sentences: one translation of it by every road, and what is told of it counts the whole text."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.decoding import command, translate, translate_n_best
from hf_attn_seq2seq.decoding.command import main
from hf_attn_seq2seq.decoding.names import PACKAGED
from hf_attn_seq2seq.decoding.sentences import Translation, join_translations
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.explain.command import main as explain
from hf_attn_seq2seq.explain.document import Trace
from hf_attn_seq2seq.explain.sentences import trace_sentences
from hf_attn_seq2seq.splitting import Piece, length_limit, max_source_tokens, split_text
from tests.helpers import tiny_model


# By the packaged model, whose own number of beams is 5; greedily some of these come out otherwise.
PARAGRAPH = (
    "Mr. Smith has not slept since yesterday. He could not find the old letters that his mother had written!  Where "
    "did she put them?\nNobody in the house knew it, and the children were too young to remember. 1. Look again. "
    "He asked his sister. She did not answer him, because she was reading a book about the sea."
)
SENTENCES = [
    "Mr. Smith has not slept since yesterday.",
    "He could not find the old letters that his mother had written!",
    "Where did she put them?",
    "Nobody in the house knew it, and the children were too young to remember.",
    "1. Look again.",
    "He asked his sister.",
    "She did not answer him, because she was reading a book about the sea.",
]


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """Each sentence by plain `generate()`, with nothing given."""
    model, tokenizer = hf_attn_seq2seq.load()
    made = {}
    for sentence in SENTENCES:
        ids = model.generate(**tokenizer([sentence], return_tensors="pt"))[0]
        made[sentence] = tokenizer.decode(ids, skip_special_tokens=True)
    return made


def by_hand(text: str, alone: dict[str, str]) -> str:
    for sentence, translation in alone.items():
        text = text.replace(sentence, translation)
    return text


def test_one_paragraph_comes_out_alike_everywhere(
    alone: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = hf_attn_seq2seq.load()
    expected = by_hand(PARAGRAPH, alone)
    greedy = translate(model, tokenizer, [PARAGRAPH], num_beams=1)[0]
    whole = translate(model, tokenizer, [PARAGRAPH], split_sentences=False)[0]
    assert len({greedy, whole, expected}) == 3  # or nothing is shown
    assert translate(model, tokenizer, [PARAGRAPH, SENTENCES[2]], batch_size=3) == [expected, alone[SENTENCES[2]]]
    assert hf_attn_seq2seq.pipeline()(PARAGRAPH) == [{"translation_text": expected}]
    assert hf_attn_seq2seq.pipeline()(PARAGRAPH, split_sentences=False) == [{"translation_text": whole}]

    main([PARAGRAPH])
    assert capsys.readouterr().out == f"{expected}\n"
    one_line = PARAGRAPH.replace("\n", " ")
    (tmp_path / "in.txt").write_text(f"{one_line}\n\n{SENTENCES[0]}\n", "utf-8")
    main([str(tmp_path / "in.txt"), "--batch-size", "2"])
    assert capsys.readouterr().out.split("\n") == [expected.replace("\n", " "), "", alone[SENTENCES[0]], ""]
    main([one_line, "--no-split"])
    assert capsys.readouterr().out == translate(model, tokenizer, [one_line], split_sentences=False)[0] + "\n"

    traces = trace_sentences(model, tokenizer, PARAGRAPH)
    assert [one.document["source"]["text"] for one in traces] == SENTENCES
    translations = [[Translation(one.document["target"]["text"])] for one in traces]
    assert join_translations(split_text(PARAGRAPH), translations)[0].text == expected
    assert {one.document["run"]["num_beams"] for one in traces} == {5}
    assert {one.document["run"]["max_new_tokens"] for one in traces} == {128}
    explain([PARAGRAPH, "--sentence", "2", "--json", str(tmp_path / "trace.json")])
    assert Trace.load(tmp_path / "trace.json").document["target"]["text"] == alone[SENTENCES[1]]
    capsys.readouterr()
    explain([one_line, "--no-split", "--json", str(tmp_path / "trace.json")])
    assert Trace.load(tmp_path / "trace.json").document["source"]["text"] == one_line
    assert "sentence" not in capsys.readouterr().out


def test_a_model_that_reads_whole_texts_is_given_them_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(PACKAGED / "en-fr-small", tmp_path / "model"))
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**settings, "split_sentences": False}), "utf-8")  # afterwards
    model, tokenizer = hf_attn_seq2seq.load(folder)
    assert model.config.split_sentences is False
    text = f"{SENTENCES[3]} {SENTENCES[6]}"
    whole = translate(model, tokenizer, [text], split_sentences=False)[0]
    by_sentences = translate(model, tokenizer, [text], split_sentences=True)[0]
    assert whole != by_sentences
    assert translate(model, tokenizer, [text]) == [whole]
    translator = hf_attn_seq2seq.pipeline(model=folder)
    assert translator(text) == [{"translation_text": whole}]
    assert translator(text, split_sentences=True) == [{"translation_text": by_sentences}]
    (tmp_path / "in.txt").write_text(f"{text}\n", "utf-8")
    for options, expected in (([], whole), (["--no-split"], whole), (["--split"], by_sentences)):
        main([str(folder), str(tmp_path / "in.txt"), *options])
        assert capsys.readouterr().out == f"{expected}\n"
    for given, sources in (([], [text]), (["--split"], [SENTENCES[3], SENTENCES[6]])):
        explain([str(folder), text, "--sentence", str(len(sources)), "--json", str(tmp_path / "trace.json"), *given])
        assert Trace.load(tmp_path / "trace.json").document["source"]["text"] == sources[-1]
    capsys.readouterr()

    again = tmp_path / "again"
    model.save_pretrained(again)
    assert AutoConfig.from_pretrained(again).split_sentences is False
    assert AttnSeq2SeqConfig().split_sentences is True


def test_links_and_scores_are_those_of_the_whole_text() -> None:
    model, tokenizer = hf_attn_seq2seq.load()
    text = " A cat sleeps.  It is  big.\n“Go!”He ran. "
    pieces = split_text(text)
    assert [piece.sentence for piece in pieces] == ["A cat sleeps.", "It is  big.", "“Go!”", "He ran."]
    made = [
        [
            Translation("Un chat dort.", -1.0, frozenset({(0, 0), (1, 1), (2, 2)})),
            Translation("Chat !", -2.0, frozenset()),
        ],
        [Translation("Il  est grand.", -2.0, frozenset({(0, 0), (2, 2)})), Translation("", -4.0, frozenset())],
        [Translation("« Va ! »", -3.0, frozenset({(0, 1)})), Translation("Va", -3.5, frozenset({(0, 0)}))],
        [Translation("Il a couru.", -4.0, frozenset({(0, 0), (1, 2)})), Translation("x", -4.5, frozenset({(1, 0)}))],
    ]
    best, second = join_translations(pieces, made)
    assert best.text == " Un chat dort.  Il  est grand.\n« Va ! »Il a couru. "
    assert best.score == pytest.approx(-2.5)
    # Words of the whole: A0 cat1 sleeps.2 It3 is4 big.5 “Go!”He6 ran.7, and
    # Un0 chat1 dort.2 Il3 est4 grand.5 «6 Va7 !8 »Il9 a10 couru.11
    assert best.links == {(0, 0), (1, 1), (2, 2), (3, 3), (5, 5), (6, 7), (6, 9), (7, 11)}
    # Of the second, "Chat", "!", then "Vax", for the sentence between has become nothing.
    assert (second.text, second.links) == (" Chat !  \nVa x ", {(6, 2), (7, 3)})
    assert second.score == pytest.approx(-3.5)
    plain = join_translations(pieces, [[Translation(each[0].text)] for each in made])
    assert plain == [Translation(best.text)]

    # What the model tells of one sentence stands, at its place, in what it tells of two.
    first, other = "The cat is on the mat.", "Where is the station?"
    options: dict[str, Any] = {"n_best": 2, "links": True}
    alone, beside = translate_n_best(model, tokenizer, [first, other], **options)
    (together,) = translate_n_best(model, tokenizer, [f"{first} {other}"], **options)
    for rank in range(2):
        shift = len(first.split()), len(alone[rank].text.split())
        moved = {(source + shift[0], target + shift[1]) for source, target in beside[rank].links}
        assert together[rank].links == alone[rank].links | moved
        assert together[rank].text == f"{alone[rank].text} {beside[rank].text}"
        assert together[rank].score == pytest.approx((alone[rank].score + beside[rank].score) / 2, abs=1e-4)


def test_a_file_of_paragraphs_keeps_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = hf_attn_seq2seq.load()
    lines = ["The cat is on the mat. Where is the station?", "", "I like tea."]
    (tmp_path / "in.txt").write_text("\n".join(lines), "utf-8")
    expected = translate_n_best(model, tokenizer, [lines[0], lines[2]], n_best=2, links=True)
    main([str(tmp_path / "in.txt"), "--n-best", "2", "--alignments", "--batch-size", "2"])
    rows = [line.split(" ||| ") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["0", "0", "1", "2", "2"]
    for row, translation in zip([*rows[:2], *rows[3:]], [*expected[0], *expected[1]]):
        assert row[1] == translation.text
        assert float(row[2]) == pytest.approx(translation.score, abs=2e-4)
        assert {tuple(map(int, link.split("-"))) for link in row[3].split()} == translation.links
    main([str(tmp_path / "in.txt"), "--format", "jsonl"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["source"] for record in records] == lines
    assert records[0]["translations"][0]["text"] == expected[0][0].text
    # A sentence that is too long is cut by itself, and told with its line.
    main([f"{lines[0]} {'very ' * 20}good.", "--max-source-tokens", "12"])
    said = capsys.readouterr()
    assert "warning: a sentence in line 1 of the text has 23 tokens: truncated to 12." in said.err
    assert said.out.startswith(expected[0][0].text)


def test_a_file_begun_without_splitting_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_attn_seq2seq.decoding.files import ResumableOutput

    (tmp_path / "in.txt").write_text("I like tea.\n" * 30, "utf-8")
    arguments = [str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt"), "--num-beams", "1"]
    monkeypatch.setattr(command, "BLOCK_BYTES", 2)
    write = ResumableOutput.write

    def stop(self: Any, *block: Any) -> None:
        if self.lines:  # of the first block
            raise KeyboardInterrupt
        write(self, *block)

    with monkeypatch.context() as patch:
        patch.setattr(ResumableOutput, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            main([*arguments, "--no-split"])
    with pytest.raises(ValueError, match=r"another split_sentences \(False, now True\)"):
        main([*arguments, "--resume"])


def test_limits_are_those_of_the_model() -> None:
    _, tokenizer = hf_attn_seq2seq.load()
    recurrent = tiny_model(vocab_size=40, max_position_embeddings=30)
    learned = tiny_model(
        vocab_size=40,
        encoder_type="transformer",
        decoder_type="transformer",
        attention_type="multi_head",
        position_type="learned",
        max_position_embeddings=30,
    )
    assert tokenizer.model_max_length == 256
    assert max_source_tokens(recurrent.config, tokenizer) == 256
    assert max_source_tokens(learned.config, tokenizer) == 30
    for model in (recurrent, learned):
        model.generation_config.max_new_tokens = model.generation_config.max_length = None
    assert length_limit(recurrent) == {"max_new_tokens": 256}
    assert length_limit(learned) == {"max_new_tokens": 30}
    assert length_limit(learned, {"max_length": 7}) == {}
    learned.generation_config.max_new_tokens = 9
    assert length_limit(learned) == {}


def test_a_trace_is_cut_where_a_translation_is(caplog: pytest.LogCaptureFixture) -> None:
    model, tokenizer = hf_attn_seq2seq.load()
    long = "I like tea and " * 80 + "coffee."
    traced = trace(model, tokenizer, long, max_new_tokens=5)
    assert len(traced.source_tokens) == 256
    assert long.startswith(traced.document["source"]["text"])
    assert traced.document["target"]["text"] == translate(model, tokenizer, [long], max_new_tokens=5)[0]
    assert traced.verify().passed


def test_the_language_of_the_sources_travels_with_the_tokenizer(tmp_path: Path) -> None:
    model, tokenizer = hf_attn_seq2seq.load()
    text = "Er kam am 3. Mai. Dann ging er."
    assert len(trace_sentences(model, tokenizer, text, max_new_tokens=1)) == 3
    tokenizer.init_kwargs["src_lang"] = "de"
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    again = hf_attn_seq2seq.load(tmp_path)
    assert len(trace_sentences(*again, text, max_new_tokens=1)) == 2
    (alone,) = translate(*again, ["Er kam am 3. Mai."], split_sentences=False)
    assert translate(*again, [text])[0].startswith(f"{alone} ")


def test_half_a_character_is_told() -> None:
    with pytest.raises(ValueError, match=r"Text 1 is not valid Unicode from character 3 on"):
        translate(*hf_attn_seq2seq.load(), ["Hello.", "a \ud800"])


def test_a_text_whose_one_sentence_has_whitespace_around_keeps_it() -> None:
    assert join_translations([Piece(" ", "A.", "\n")], [[Translation("B.", -1.0, None)]]) == [
        Translation(" B.\n", -1.0, None)
    ]
