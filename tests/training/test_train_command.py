# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The training command, as a user runs it on small files."""

from pathlib import Path

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.decoding import align, attend, translate
from hf_attn_seq2seq.training.train import main, parse_fields


SMALL = ["--epochs", "1", "--batch-size", "8", "--set", "hidden_size=16", "dropout=0", "--vocab-size", "300"]


@pytest.fixture(scope="module")
def tsv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = generate_corpus(train_size=60, validation_size=1, test_size=1, compositional_size=1).train
    path = tmp_path_factory.mktemp("data") / "pairs.tsv"
    path.write_text("".join(f"{pair.source}\t{pair.target}\n" for pair in pairs), "utf-8")
    return path


def run(*arguments: object) -> None:
    main([str(argument) for argument in arguments])


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as exit_status:
        run(*arguments)
    assert exit_status.value.code == 2
    return capsys.readouterr().err


def test_a_tsv_becomes_a_model_that_loads_and_translates(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    run("--source", tsv, "--validation-size", 8, "--output", output, *SMALL)
    said = capsys.readouterr().out
    assert "52 training and 8 validation pairs" in said
    assert "BLEU" in said
    assert "exact match" in said

    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    assert model.config.hidden_size == 16
    assert model.generation_config.max_new_tokens == 128
    texts = ["The cat is here.", "A dog sees the old house and the king."]
    together = translate(model, tokenizer, texts, max_new_tokens=8)
    assert together == [translate(model, tokenizer, [text], max_new_tokens=8)[0] for text in texts]
    shown = attend(model, tokenizer, texts[0], max_new_tokens=8, num_beams=2)
    with pytest.raises(ValueError, match="batch_size=-1 must be at least 1"):
        translate(model, tokenizer, texts, batch_size=-1)
    with pytest.raises(ValueError, match="There is no layer 3: the decoder has 1"):
        align(model, tokenizer, [(texts[0], "Le chat.")], layer=3)
    assert shown.weights.shape == (1, len(shown.target_tokens), len(shown.source_tokens))

    # Going on with more epochs finds the checkpoint and the tokenizer of the first run.
    before = (output / "tokenizer.json").read_bytes()
    (output / "tokenizer.json").unlink()  # the checkpoint holds its own
    run("--source", tsv, "--validation-size", 8, "--output", output, *SMALL, "--epochs", "2", "--resume")
    assert (output / "tokenizer.json").read_bytes() == before
    assert (output / "checkpoint-14").is_dir()

    # Another run would harm the model; going on with another model cannot be.
    weights = (output / "model.safetensors").read_bytes()
    basic = ["--source", tsv, "--validation-size", 8, "--output", output, *SMALL]
    assert "say --resume or --overwrite" in failure(capsys, *basic, "--epochs", "1")
    said = failure(capsys, *basic, "--resume", "--set", "hidden_size=32")
    assert "holds another model: give the same hidden_size (16 there, 32 here)" in said
    assert (output / "model.safetensors").read_bytes() == weights
    assert (output / "tokenizer.json").read_bytes() == before
    run(*basic, "--epochs", "1", "--overwrite")
    assert [path.name for path in output.glob("checkpoint-*")] == ["checkpoint-7"]


def test_two_files_and_a_preset(tsv: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in tsv.read_text("utf-8").splitlines()]
    for name, column in (("en", 0), ("fr", 1)):
        (tmp_path / f"train.{name}").write_text("\n".join(row[column] for row in rows) + "\n", "utf-8")
    files = [tmp_path / "train.en", "--target", tmp_path / "train.fr"]
    checks = ["--validation-source", tsv]
    settings = [*SMALL, "--preset", "luong2015", "--tokenizer", "word", "--limit", 20]
    run("--source", *files, *checks, "--output", tmp_path / "out", *settings)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    assert model.config.attention_type == "general"
    assert model.config.input_feeding


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (["--set", "attention_type=new"], "attention_type='new' is unknown"),
        (["--set", "atention_type=dot"], "did you mean 'attention_type'"),
        (["--set", "wide=dot"], "takes no field 'wide'"),
        (["--set", "is_encoder_decoder=false"], "takes no field 'is_encoder_decoder'"),
        (["--set", "dropout=[1]"], "dropout"),
        (["--epochs", "inf"], "epochs=inf must be a number"),
        (["--learning-rate", "nan"], "learning_rate=nan"),
        (["--warmup-steps", "-1"], "warmup_steps=-1"),
        (["--seed", "-1"], "seed=-1"),
        (["--limit", "0"], "--limit is 0"),
        (["--num-beams", "0"], "--num-beams is 0"),
        (["--validation-target", "x"], "needs --validation-source"),
        (["--resume"], "no checkpoint"),
        (["--set", "hidden_size=100000000000"], "error: "),
        (["--set", "hidden_size=big"], "hidden_size"),
        (["--set", "hidden_size"], "FIELD=VALUE"),
        (["--set", "vocab_size=5"], "use --vocab-size"),
        (["--epochs", "0"], "epochs=0.0 must be a number greater than 0"),
        (["--vocab-size", "10"], "vocab"),
        (["--validation-size", "500"], "validation"),
        (["--label-smoothing", "2"], "label_smoothing=2.0"),
        (["--validation-source", "nowhere.tsv"], "nowhere.tsv"),
    ],
)
def test_bad_options_end_with_one_sentence(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], told: str
) -> None:
    basic = ["--source", tsv, "--output", tmp_path / "out", "--validation-size", 8, "--epochs", "1"]
    said = failure(capsys, *basic, *extra)
    assert told in said
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert "Traceback" not in said


def test_a_missing_file_and_a_bad_row_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "gone.tsv" in failure(capsys, "--source", tmp_path / "gone.tsv", "--output", tmp_path)
    (tmp_path / "bad.tsv").write_text("one\tun\nalone\n", "utf-8")
    said = failure(capsys, "--source", tmp_path / "bad.tsv", "--output", tmp_path)
    assert "bad.tsv" in said
    assert "2" in said


def test_fields_are_read_as_json_or_text() -> None:
    fields = parse_fields(["hidden_size=64", "dropout=0.5", "input_feeding=true", "residual=True", "bridge=mean"])
    assert fields == {"hidden_size": 64, "dropout": 0.5, "input_feeding": True, "residual": True, "bridge": "mean"}


def test_translate_gives_one_text_for_each() -> None:
    with pytest.raises(ValueError, match="leave out num_return_sequences"):
        translate(None, None, ["a"], num_return_sequences=2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "told"),
    [("a dog", "Give a list of texts"), (["a", 3], "Text 1 is a int"), (["a", ""], "Text 1 is blank")],
)
def test_translate_refuses_what_is_no_list_of_texts(texts: list, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        translate(None, None, texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("pairs", [["ab"], [("a", "b", "c")], [("a",)]])
def test_align_refuses_what_is_no_pair(pairs: list) -> None:
    with pytest.raises(ValueError, match="Pair 0 is not a source and a target"):
        align(None, None, pairs)  # type: ignore[arg-type]


def test_a_blank_text_is_named() -> None:
    with pytest.raises(ValueError, match="Text 1 is blank"):
        translate(None, None, ["a", "  "])  # type: ignore[arg-type]
