# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The training command, as a user runs it on small files."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, Trainer

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.data.prepare import prepare_corpus
from hf_attn_seq2seq.decoding import attend, translate
from hf_attn_seq2seq.training.evaluate import main as evaluate
from hf_attn_seq2seq.training.fit import working_in
from hf_attn_seq2seq.training.preprocess import main as preprocess
from hf_attn_seq2seq.training.recipe import load_recipe
from hf_attn_seq2seq.training.train import main
from tests.helpers import full_disk, usual_mode


SMALL = [
    "data.validation_size=8",
    "tokenizer.vocab_size=300",
    "model.hidden_size=16",
    "model.dropout=0",
    "training.epochs=1",
    "training.batch_size=8",
    "training.samples=1",
    "evaluation.max_new_tokens=12",
]


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
    said = capsys.readouterr().err
    return said[said.index("error: ") :]


def test_a_tsv_becomes_a_model_that_loads_and_translates(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    basic = [f"data.train.file={tsv}", f"output={output}", *SMALL]
    run(*basic)
    said = capsys.readouterr().out
    assert "52 training and 8 validation pairs" in said
    assert "60 rows read, 0 of them bad; 60 pairs kept" in said
    assert "Saved the best checkpoint (step 7 of 7)" in said
    assert "columns: source, the word looked at" in said  # the attention map
    assert f"evaluate {output}" in said
    assert "reference" in (output / "samples" / "step-0000007.txt").read_text("utf-8")
    summary = json.loads((output / "training.json").read_text("utf-8"))
    assert summary["steps"] == 7
    assert summary["weights"] == "best checkpoint"

    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    assert model.config.hidden_size == 16
    assert model.generation_config.max_new_tokens == 12
    assert model.generation_config.num_beams == 5
    for name in ("config.json", "generation_config.json"):
        for folder in (output, *output.glob("checkpoint-*")):
            assert json.loads((folder / name).read_text("utf-8"))["use_cache"] is True
    texts = ["The cat is here.", "A dog sees the old house and the king."]
    together = translate(model, tokenizer, texts, max_new_tokens=8)
    assert together == [translate(model, tokenizer, [text], max_new_tokens=8)[0] for text in texts]
    shown = attend(model, tokenizer, texts[0], max_new_tokens=8, num_beams=2)
    assert shown.weights.shape == (1, len(shown.target_tokens), len(shown.source_tokens))

    files = [path for path in output.rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(usual_mode())}
    assert [path.name for path in output.rglob(".*")] == [".corpus.lock"]

    # Another run would harm the model; going on with another model, or other data, cannot be.
    weights = (output / "model.safetensors").read_bytes()
    assert "use --resume or --overwrite" in failure(capsys, *basic)
    said = failure(capsys, *basic, "--resume", "model.hidden_size=32")
    assert "is of a different model: use the same hidden_size (16 there, 32 here)" in said
    assert "started with different values of data.seed" in failure(capsys, *basic, "--resume", "data.seed=5")
    assert "started with different values of training.seed" in failure(capsys, *basic, "--resume", "training.seed=5")
    assert (output / "model.safetensors").read_bytes() == weights

    # The folder holds its recipe, from which it is gone on with; nothing is prepared again.
    made = (output / "corpus" / "report.json").stat().st_mtime_ns
    run(output, "--resume", "training.epochs=2")
    assert (output / "corpus" / "report.json").stat().st_mtime_ns == made
    assert (output / "checkpoint-14").is_dir()
    assert yaml.safe_load((output / "recipe.yaml").read_text("utf-8"))["training"]["epochs"] == 2
    run(*basic, "--overwrite")
    assert [path.name for path in output.glob("checkpoint-*")] == ["checkpoint-7"]


def test_a_run_shorter_than_its_warm_up_is_told(tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = [f"data.train.file={tsv}", *SMALL, "training.samples=0", "training.warmup_steps=7"]
    run(*short, f"output={tmp_path / 'rising'}")
    assert "training.warmup_steps is 7 and this run has 7 steps" in capsys.readouterr().err
    for number, change in enumerate(["training.warmup_steps=6", "training.schedule=plateau"]):
        run(*short, change, f"output={tmp_path / str(number)}")
        assert "warmup_steps" not in capsys.readouterr().err


@pytest.mark.parametrize("shared", [True, False])
def test_the_attention_shown_in_training_has_readable_tokens(
    shared: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"an old bike {number}\tun vieux vélo {number}\n" for number in range(60)), "utf-8")
    output = tmp_path / "model"
    run(f"data.train.file={path}", f"output={output}", *SMALL, f"tokenizer.shared={str(shared).lower()}")
    said = capsys.readouterr().out
    header, *rows = said[said.rindex("columns: source") :].split("\n\n")[1].splitlines()
    assert header.split()[:3] == ["an", "old", "bike"]
    assert rows
    assert not re.search("[ĠÃ]", header + "".join(rows))
    assert re.search(r"Step 7: validation loss [\d.]+, bleu", said)


def test_what_validation_shares_with_training_is_told_everywhere(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = tmp_path / "held-out.tsv"
    lines = tsv.read_text("utf-8").splitlines(keepends=True)[:3]
    held_out.write_text("".join([*lines, "New words\tMots neufs\n"]), "utf-8")
    output = tmp_path / "model"
    small = [field for field in SMALL if "validation_size" not in field]
    run(f"data.train.file={tsv}", f"data.validation.file={held_out}", f"output={output}", *small)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "warning: rows of validation are also in train: 3 by source, 3 by target, 3 by pair; set data.cleaning" in said
    )
    evaluate([str(output)])
    results = json.loads((output / "results.json").read_text("utf-8"))
    assert results["data"]["shared"] == {"validation in train": {"source": 3, "target": 3, "pair": 3}}
    assert "| validation in train | 3 | 3 | 3 |" in (output / "README.md").read_text("utf-8")


def test_two_files_a_recipe_and_a_preset(tsv: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in tsv.read_text("utf-8").splitlines()]
    for name, column in (("en", 0), ("fr", 1)):
        (tmp_path / f"train.{name}").write_text("\n".join(row[column] for row in rows) + "\n", "utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data:\n  train: {source: train.en, target: train.fr}\nmodel: {preset: luong2015}  # of 2015\n", "utf-8"
    )
    small = [*SMALL, "tokenizer.kind=word", "data.limit=20", "training.batch_tokens=64", "training.batch_size=null"]
    run(recipe, f"data.folder={tmp_path}", f"output={tmp_path / 'out'}", *small)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    assert model.config.attention_type == "general"
    assert model.config.input_feeding


def test_letters_to_symbols_have_a_vocabulary_for_each(tmp_path: Path) -> None:
    words = [("cab", "K AE B"), ("bad", "B AE D"), ("dab", "D AE B"), ("cad", "K AE D"), ("ad", "AE D")] * 3
    path = tmp_path / "words.tsv"
    path.write_text("".join(f"{word}{number}\t{sounds}\n" for number, (word, sounds) in enumerate(words)), "utf-8")
    kinds = ["tokenizer.shared=false", "tokenizer.source={kind: char}", "tokenizer.target={kind: symbol}"]
    run(
        f"data.train.file={path}",
        f"output={tmp_path / 'g2p'}",
        "data.validation_size=3",
        *SMALL[2:],
        *kinds,
        "training.metric=per",
    )
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "g2p")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "g2p")
    assert model.config.decoder_vocab_size == len(tokenizer.target) != len(tokenizer)
    (said,) = translate(model, tokenizer, ["cab1"])
    assert set(said.split()) <= {"K", "AE", "B", "D"}


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (["model.attention_type=new"], "attention_type='new' is unknown"),
        (["model.atention_type=dot"], "did you mean 'attention_type'"),
        (["model.wide=dot"], "Unknown field 'wide'"),
        (["model.is_encoder_decoder=false"], "Unknown field 'is_encoder_decoder'"),
        (["model.dropout=[1]"], "dropout"),
        (["model.preset=bahdanau"], "did you mean 'bahdanau2015'"),
        (["model.vocab_size=5"], "set tokenizer.vocab_size"),
        (["model.hidden_size=big"], "hidden_size"),
        (["training.epochs=.inf"], "epochs=inf"),
        (["training.epochs=0"], "epochs=0"),
        (["training.learning_rate=.nan"], "learning_rate=nan"),
        (["training.lerning_rate=1"], "did you mean 'learning_rate'"),
        (["training.metric=blue"], "did you mean 'bleu'"),
        (["training.evaluate_every=0"], "evaluate_every=0 must be at least 1"),
        (["training.ema_decay=0.9", "training.average_checkpoints=2"], "choose one"),
        (["training.r_drop=1", "model.dropout=0"], "set model.dropout"),
        (["training.r_drop=-1"], "r_drop=-1"),
        (["training.guided_alignment={}"], "needs word links"),
        (["training.guided_alignment.layer=1"], "Layer 1 does not exist"),
        (["training.guided_alignment.head=1"], "head=1 does not exist: the model has 1"),
        (["training.guided_alignment={}", "model.attention_type=none"], "attention_type is none"),
        (["training.guided_alignment.links=first_pass", "tokenizer.sampling=0.1"], "cannot be combined"),
        (["training.phrase_pairs_augmentation=0.1"], "needs word links: set guided_alignment too"),
        (
            ["model.pointer=true", "model.pointer_slots=4", "tokenizer.sampling=0.1"],
            "tokenizer.sampling and model.pointer_slots cannot be combined",
        ),
        (["augmentation.shift=2"], "augmentation.shift is for pictures, and data.source_kind is text"),
        (["features.mel_bins=20"], "features.mel_bins is for sounds, and data.source_kind is text"),
        (["training.metric=bleu_tok_lc"], "needs the target's language"),
        (["tokenizer.shared=false", "model.share_encoder_decoder_embeddings=true"], "needs a shared vocabulary"),
        (["training.guided_alignment.symmetrisation=grow"], "did you mean 'grow-diag'"),
        (["trainin.epochs=1"], "did you mean 'training'"),
        (["training.epochs"], "no recipe 'training.epochs'"),
        (["=3"], "does not set a field"),
        (["training.report_to=[nowhere]"], "is 'nowhere', which is not installed"),
        (["training.guided_alignment.reverse_model=nowhere"], "reverse_model: There is no model 'nowhere'"),
        (["tokenizer.vocab_size=999999999999"], "vocab_size=999999999999"),
        (["tokenizer.vocab_size=10"], "vocab_size is 10"),
        (["--resume"], "no checkpoint"),
        (["data.validation_size=500"], "validation"),
        (["data.validation.file=nowhere.tsv", "data.validation_size=null"], "nowhere.tsv"),
    ],
)
def test_bad_options_end_with_one_sentence(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], told: str
) -> None:
    said = failure(capsys, f"data.train.file={tsv}", f"output={tmp_path / 'out'}", *SMALL, *extra)
    assert told in said
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("training: {epochs: 1\n", "is not YAML"),
        ("just text", "is not a recipe"),
        ("training:\n  epoch: 1\n", "training: Unknown field 'epoch': did you mean 'epochs'?"),
        ("training: 5\n", "training=5"),
        ("training:\n  epochs: 1\n  seed: 1\n  epochs: 2\n", "line 4, is not YAML: the field 'epochs' is given twice"),
        ("data: {source_language: no}\n", "source_language: YAML reads this as yes or no"),
    ],
)
def test_a_bad_recipe_ends_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(text, "utf-8")
    said = failure(capsys, tmp_path / "recipe.yaml")
    assert told in said
    assert said.count("\n") == 1


def test_fields_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--fields"])
    said = capsys.readouterr().out
    assert "training.ema_decay: decay per step" in said
    assert "data.train.0.file: a TSV" in said
    assert "data.tests: " in said
    assert "(same fields as data.train.0)" in said


def test_a_corpus_that_has_changed_is_not_gone_on_with(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "pairs.tsv"
    mine.write_bytes(tsv.read_bytes())
    arguments = [f"data.train.file={mine}", f"output={tmp_path / 'model'}", *SMALL]
    run(*arguments)
    mine.write_text(tsv.read_text("utf-8") + "One more line.\tUne ligne de plus.\n", "utf-8")
    report = (tmp_path / "model" / "corpus" / "report.json").read_bytes()
    for _ in range(2):  # the corpus of then stays, so that a second attempt is refused, too
        assert "has changed since" in failure(capsys, *arguments, "--resume", "training.epochs=2")
    with pytest.raises(SystemExit):
        preprocess(arguments)
    assert "has changed since" in capsys.readouterr().err
    assert (tmp_path / "model" / "corpus" / "report.json").read_bytes() == report


def test_a_model_is_not_measured_on_another_corpus(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, model = tmp_path / "pairs.tsv", tmp_path / "model"
    mine.write_bytes(tsv.read_bytes())
    run(f"data.train.file={mine}", f"output={model}", *SMALL)
    mine.write_text(tsv.read_text("utf-8") + "One more line.\tUne ligne de plus.\n", "utf-8")
    prepare_corpus(load_recipe(model).data, model / "corpus")
    with pytest.raises(SystemExit):
        evaluate([str(model)])
    assert "not the one that the model was trained on" in capsys.readouterr().err
    assert "has changed since" in failure(capsys, model, "--resume")
    mine.write_bytes(tsv.read_bytes())
    preprocess([str(model)])  # what the sentence says to do
    evaluate([str(model), "evaluation.metrics=[chrf]"])


def test_a_moved_folder_is_gone_on_with_where_it_is(tsv: Path, tmp_path: Path) -> None:
    run(f"data.train.file={tsv}", f"output={tmp_path / 'old'}", *SMALL)
    (tmp_path / "old").rename(tmp_path / "new")
    run(tmp_path / "new", "--resume", "training.epochs=2")
    assert (tmp_path / "new" / "checkpoint-14").is_dir()
    assert not (tmp_path / "old").exists()


def test_two_runs_do_not_share_a_folder(tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"data.train.file={tsv}", f"output={tmp_path / 'out'}", *SMALL]
    preprocess(arguments)
    report = (tmp_path / "out" / "corpus" / "report.json").read_bytes()
    with working_in(tmp_path / "out"):
        assert "Another run is using" in failure(capsys, *arguments)
        (tmp_path / "out" / "recipe.yaml").write_text("{}")
        for command, given in ((preprocess, [*arguments, "data.seed=9"]), (evaluate, [str(tmp_path / "out")])):
            with pytest.raises(SystemExit):
                command(given)  # preprocess would take the corpus from under a training
            assert "Another run is using" in capsys.readouterr().err
    assert (tmp_path / "out" / "corpus" / "report.json").read_bytes() == report


def test_a_full_disk_before_the_first_checkpoint_is_gone_on_with(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = [f"data.train.file={tsv}", f"output={output}", *SMALL]
    with full_disk(100_000):  # room for the corpus and the code, not for the weights
        said = failure(capsys, *arguments, "model.hidden_size=64")
    assert said.startswith(f"error: Cannot write '{output / 'checkpoint-7'}' (")  # PyTorch does not tell why
    assert said.endswith("): make room, and continue with --resume.\n")
    assert not list(output.glob("checkpoint-*"))
    run(output, "--resume")
    assert (output / "checkpoint-7").is_dir()
    assert "already contains a model" in failure(capsys, *arguments, "model.hidden_size=64")
    for path in output.glob("checkpoint-*"):
        shutil.rmtree(path)
    assert "no checkpoint" in failure(capsys, output, "--resume")  # the model that is there is not trained anew


def test_sigterm_ends_training_with_one_sentence_and_no_half_checkpoint(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    arguments = [f"data.train.file={tsv}", f"output={output}", *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_optimizer_and_scheduler", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
    assert ended.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err.endswith(f"\nStopped. To resume: hf-attn-seq2seq train {output} --resume\n")
    assert not list(output.glob("checkpoint-*"))
    run(output, "--resume")
    assert (output / "model.safetensors").exists()


def test_a_trained_folder_keeps_its_corpus(tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"data.train.file={tsv}", f"output={tmp_path / 'out'}", *SMALL]
    run(*arguments)
    report = (tmp_path / "out" / "corpus" / "report.json").read_bytes()
    with pytest.raises(SystemExit):
        preprocess([*arguments, "data.seed=9"])
    assert "started with different values of data.seed" in capsys.readouterr().err
    assert (tmp_path / "out" / "corpus" / "report.json").read_bytes() == report


def test_two_recipes_are_one_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Name one recipe, not 2" in failure(capsys, "a.yaml", "b.yaml")
