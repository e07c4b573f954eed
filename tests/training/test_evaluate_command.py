# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The command evaluate, on a small model that was not trained and a corpus of the built-in grammar."""

import hashlib
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from transformers import AutoTokenizer

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.data.prepare import PreparedCorpus, prepare_corpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding import align, translate
from hf_attn_seq2seq.evaluation import alignment_error_rate, from_pharaoh, score_corpus
from hf_attn_seq2seq.training.evaluate import find_model, language_of, main
from hf_attn_seq2seq.training.recipe import load_recipe, save_recipe
from tests.card_figures import stray_figures
from tests.decoding.test_safety import SPOILT
from tests.hub_server import ALICE, asking, hub  # noqa: F401


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    fields = [
        "name=untrained",
        f"output={folder}",
        "data.source_language=en",
        "data.target_language=fr",
        "data.train=[{grammar: {train_size: 200, validation_size: 8, test_size: 8, compositional_size: 4}}]",
        "evaluation.metrics=[bleu, bleu_tok_lc, ter]",
        "evaluation.max_new_tokens=8",
        "evaluation.bootstrap_samples=10",
        "evaluation.num_beams=2",
        "training.seed=7",
    ]
    recipe = load_recipe(None, fields)
    save_recipe(recipe, folder)
    train = prepare_corpus(recipe.data, folder / "corpus").train
    tokenizer = train_tokenizer([*train["source"], *train["target"]], kind="word", vocab_size=600)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = AttnSeq2SeqConfig(
        vocab_size=len(tokenizer), hidden_size=16, encoder_type="gru", decoder_type="gru", attention_type="additive"
    )
    AttnSeq2SeqForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    main([str(folder)])
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_every_set_is_measured_and_its_figures_come_from_its_translations(folder, results):
    corpus = PreparedCorpus.load(folder / "corpus")
    assert list(results["sets"]) == ["validation", "test", "test_compositional"]
    for name, figures in results["sets"].items():
        split = corpus.tests.get(name, corpus.validation)
        hypotheses = (folder / "hypotheses" / f"{name}.txt").read_text("utf-8").split("\n")[:-1]
        scores = score_corpus(hypotheses, list(split["target"]), ["bleu", "bleu_tok_lc", "ter"], target_language="fr")
        assert figures["sentences"] == len(split)
        for metric, score in scores.items():
            assert figures["scores"][metric]["value"] == score.value
            assert figures["scores"][metric]["signature"] == score.signature


def test_translations_and_alignments_are_the_models_own(folder, results):
    model = AttnSeq2SeqForConditionalGeneration.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    test = PreparedCorpus.load(folder / "corpus").tests["test"]
    translations = translate(model, tokenizer, list(test["source"]), num_beams=2, max_new_tokens=8)
    assert (folder / "hypotheses" / "test.txt").read_text("utf-8") == "".join(f"{text}\n" for text in translations)
    links = align(model, tokenizer, list(zip(test["source"], test["target"])))
    scores = alignment_error_rate(
        links, *([from_pharaoh(text) for text in test[name]] for name in ("alignment", "possible"))
    )
    assert results["sets"]["test"]["alignment"]["aer"] == pytest.approx(100 * scores.error_rate)


def test_the_results_tell_how_they_came_about(folder, results):
    weights = (folder / "model.safetensors").read_bytes()
    assert results["model"]["sha256"] == {"model.safetensors": hashlib.sha256(weights).hexdigest()}
    assert (results["name"], results["seed"]) == ("untrained", 7)
    assert results["command"] == f"hf-attn-seq2seq evaluate {folder.name}"
    assert all(figures["command"] == results["command"] for figures in results["sets"].values())
    assert results["evaluation"]["num_beams"] == 2
    assert results["data"]["pairs"] == {"train": 200, "validation": 8, "test": 8, "test_compositional": 4}
    assert results["versions"]["torch"] == torch.__version__
    card = ModelCard.load(folder / "README.md")
    shown = {(one.dataset_split, one.metric_type): one.metric_value for one in card.data.eval_results}
    assert shown["test", "ter"] == round(results["sets"]["test"]["scores"]["ter"]["value"], 2)
    assert str(folder) not in card.text
    assert str(folder) not in (folder / "results.json").read_text("utf-8")


def test_every_figure_of_the_card_is_in_the_results(folder, results):
    assert stray_figures((folder / "README.md").read_text("utf-8"), results) == []


def test_the_speed_is_measured_with_the_sets(results):
    speed = results["speed"]
    assert (speed["sets"], speed["sentences"]) == (list(results["sets"]), 20)
    assert (speed["num_beams"], speed["batch_size"], speed["threads"], speed["device"]) == (2, 64, 1, "cpu")
    assert speed["engine"] == "graph"
    seconds = sum(figures["translation_seconds"] for figures in results["sets"].values())
    assert speed["seconds"] == pytest.approx(seconds, abs=0.003)
    # The seconds of each set are rounded to thousandths.
    assert 20 / (seconds + 0.003) <= speed["sentences_per_second"] <= 20 / max(seconds - 0.003, 1e-3)
    assert 20 / speed["sentences_per_cpu_second"] == pytest.approx(speed["cpu_seconds"], abs=0.001)
    assert 20 < speed["target_tokens_per_second"] * seconds < 20 * 10  # at most eight tokens and the end


def test_the_worst_and_the_example_come_from_the_first_set(folder, results):
    validation = PreparedCorpus.load(folder / "corpus").validation
    hypotheses = (folder / "hypotheses" / "validation.txt").read_text("utf-8").split("\n")[:-1]
    translated = dict(zip(validation["source"], hypotheses))
    (worst,) = results["worst"].values()
    assert list(results["worst"]) == ["validation"]
    assert len(worst) == 5
    assert all(translated[one["source"]] == one["hypothesis"] for one in worst)
    example = results["example"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lengths = [len(ids) for ids in tokenizer(list(validation["source"]))["input_ids"]]
    distances = [abs(length - 8) for length in lengths]
    assert example["source"] == validation["source"][distances.index(min(distances))]
    assert example["translation"] == translated[example["source"]]
    assert len(example["source_tokens"]) == len(example["weights"][0])
    assert len(example["target_tokens"]) == len(example["weights"])
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in example["weights"])


def test_the_code_of_the_card_runs(folder, results, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    card = (folder / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 2
    model, tokenizer = AttnSeq2SeqForConditionalGeneration.from_pretrained("."), AutoTokenizer.from_pretrained(".")
    expected = translate(model, tokenizer, [results["example"]["source"]], num_beams=2, max_new_tokens=8)[0]
    assert expected
    for block in blocks:
        exec(block, {})
        assert capsys.readouterr().out.strip() == expected.strip()


def test_what_may_not_be_quoted_is_nowhere(folder, results):
    kept = {name: (folder / name).read_bytes() for name in ("results.json", "README.md")}
    main([str(folder), "--set", "test", "card.quote=false"])  # which keeps the figures of the first set
    assert not {"worst", "example"} & set(json.loads((folder / "results.json").read_text("utf-8")))
    main([str(folder), "card.quote=false", "card.credit=Not to be passed on.", "card.sentences=[The cat sleeps.]"])
    written = {name: (folder / name).read_text("utf-8") for name in kept}
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    again = json.loads(written["results.json"])
    assert not {"worst", "example", "translations"} & set(again)
    assert "Not to be passed on." in written["README.md"]
    for source in PreparedCorpus.load(folder / "corpus").validation["source"]:
        assert all(source not in content for content in written.values())


def test_sentences_of_ones_own_are_translated(folder, results):
    kept = {name: (folder / name).read_bytes() for name in ("results.json", "README.md")}
    text = "The dogs see a cat. The cat sleeps."
    main(
        [
            *(str(folder), "--set", "test", "card.sentences=[The cat sleeps., The dogs see a cat.]"),
            f"card.paragraphs=[{text}, The cat sleeps.]",
        ]
    )
    again = json.loads((folder / "results.json").read_text("utf-8"))
    card = (folder / "README.md").read_text("utf-8")
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    model, tokenizer = (
        AttnSeq2SeqForConditionalGeneration.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    own = ["The cat sleeps.", "The dogs see a cat."]
    translations = translate(model, tokenizer, own, num_beams=2, max_new_tokens=8)
    assert again["translations"] == [
        {"source": source, "translation": text} for source, text in zip(own, translations)
    ]
    first, second = again["translations"]
    assert again["paragraphs"] == [[second, first], [first]]
    assert card.count("| source | translation |") == 3
    assert (again["worst"], again["example"]) == (
        results["worst"],
        results["example"],
    )  # of the set not measured again
    assert again["speed"]["sets"] == ["test"]


def test_one_set_keeps_the_figures_of_the_others(folder, results, tmp_path, capsys):
    kept = {name: (folder / name).read_bytes() for name in ("results.json", "README.md")}
    card = tmp_path / "cards" / "untrained.md"
    earlier = {**results, "versions": {"torch": "1.0"}}
    (folder / "results.json").write_text(json.dumps(earlier), "utf-8")
    main([str(folder), "--set", "test", "--card", str(card)])
    again = json.loads((folder / "results.json").read_text("utf-8"))
    assert again["command"] == f"hf-attn-seq2seq evaluate {folder.name} --set test --card untrained.md"
    for name, figures in again["sets"].items():
        # Each set says what it was measured by, the kept ones too where that has changed.
        assert figures["command"] == (again if name == "test" else results)["command"]
        assert figures.get("versions", again["versions"]) == (again if name == "test" else earlier)["versions"]
    assert {name: figures["scores"] for name, figures in again["sets"].items()} == {
        name: figures["scores"] for name, figures in results["sets"].items()
    }
    capsys.readouterr()
    assert "| test |" in card.read_text("utf-8")
    main([str(folder), "evaluation.num_beams=1", "evaluation.metrics=[chrf]"])
    again = json.loads((folder / "results.json").read_text("utf-8"))
    assert list(again["sets"]["test"]["scores"]) == ["chrf"]
    assert "Greedy decoding" in (folder / "README.md").read_text("utf-8")
    for name, content in kept.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("override", "differing"), [("evaluation.num_beams=1", "evaluation"), ("data.target_language=de", "languages")]
)
def test_other_settings_are_tried_on_one_set_and_nothing_is_written(folder, results, override, differing, capsys):
    recipe = folder / "recipe.yaml"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for model in (folder, recipe):  # the trained model, and its recipe
        main([str(model), "--set", "validation", override])
        shown = " ".join(capsys.readouterr().out.split())
        assert f"results.json was measured with other {differing}." in shown
        assert "Nothing was written" in shown
        assert "BLEU tok-lc: nrefs:1" in shown
        assert ("moses-norm-de" in shown) == (differing == "languages")
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_another_model_translates_the_same_sets(folder, results, tmp_path, capsys):
    other, copied = tmp_path / "other", tmp_path / "copied"
    shutil.copytree(folder, other)
    shutil.copytree(folder, copied)
    model = AttnSeq2SeqForConditionalGeneration.from_pretrained(other)
    torch.manual_seed(1)
    torch.nn.init.normal_(model.get_output_embeddings().weight)
    model.save_pretrained(other)
    main([str(copied), "--set", "test", "--compare", str(other), "card.worst=2"])
    assert "This model - other" in " ".join(capsys.readouterr().out.split())
    found = json.loads((copied / "results.json").read_text("utf-8"))
    assert len(found["worst"]["validation"]) == 5  # of a set that was not measured now
    comparison = found["comparison"]
    assert comparison["name"] == "other"
    digest = hashlib.sha256((other / "model.safetensors").read_bytes()).hexdigest()
    assert comparison["sha256"] == {"model.safetensors": digest}
    (other / "results.json").unlink()  # of the model that it was copied from
    main([str(other), "--set", "test"])
    of_other = json.loads((other / "results.json").read_text("utf-8"))["sets"]["test"]["scores"]
    test = comparison["sets"]["test"]
    for metric, one in test["metrics"].items():
        assert one["system"] == pytest.approx(results["sets"]["test"]["scores"][metric]["value"])
        assert one["baseline"] == pytest.approx(of_other[metric]["value"])
        assert one["difference"] == one["system"] - one["baseline"]
    lines = (other / "hypotheses" / "test.txt").read_text("utf-8").splitlines()
    assert all(one["baseline"] in lines for side in ("better", "worse") for one in test[side])
    assert "## Beside other" in (copied / "README.md").read_text("utf-8")
    assert stray_figures((copied / "README.md").read_text("utf-8"), found) == []
    main([str(copied), "--set", "test_compositional", "--compare", str(other)])
    both = json.loads((copied / "results.json").read_text("utf-8"))["comparison"]["sets"]
    assert list(both) == ["test", "test_compositional"]
    assert both["test"] == test


def test_the_card_may_be_written_after_the_training(folder, tmp_path):
    later = tmp_path / "later.yaml"
    recipe = load_recipe(folder, ["card.credit=By nobody.", "training.epochs=99", "license=cc0-1.0"])
    save_recipe(recipe, tmp_path)
    (tmp_path / "recipe.yaml").rename(later)
    found = find_model([str(later), "card.quote=false"])
    assert found.models == [str(folder)]
    assert (found.recipe.card.credit, found.recipe.card.quote, found.recipe.license) == (
        "By nobody.",
        False,
        "cc0-1.0",
    )
    assert found.recipe.training == load_recipe(folder).training  # what it was trained by stays


def test_what_does_not_change_the_measuring_is_refused(folder, capsys):
    with pytest.raises(SystemExit):
        main([str(folder), "training.seed=5"])
    assert "'training.seed=5' does not change how a model is measured" in capsys.readouterr().err


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def test_files_given_by_hand(folder, tmp_path, capsys):
    source = write(tmp_path / "a.en", "The cat is on the mat.", "The dog sleeps.")
    first = write(tmp_path / "a.fr", "Le chat est sur le tapis.", "Le chien dort.")
    second = write(tmp_path / "b.fr", "", "Le chien est endormi.")
    output = tmp_path / "out.fr"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    main([str(folder), "--source", source, "--reference", first, "--reference", second, "--output", str(output)])
    shown = capsys.readouterr().out
    hypotheses = output.read_text("utf-8").splitlines()
    score = score_corpus(
        hypotheses, [["Le chat est sur le tapis."], ["Le chien dort.", "Le chien est endormi."]], ["ter"]
    )
    assert f"{score['ter'].value:.2f}" in shown
    assert "nrefs:var" in shown
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Figures of files are written where the command is given."""
    monkeypatch.chdir(tmp_path)


def test_figures_of_files_are_written_with_all_that_is_needed_to_measure_again(folder, tmp_path):
    source = write(tmp_path / "a.en", "The cat is on the mat.", "The dog sleeps.")
    reference = write(tmp_path / "a.fr", "Le chat est sur le tapis.", "Le chien dort.")
    further = write(tmp_path / "b.fr", "", "Le chien est endormi.")
    given = [str(folder), "--source", source, "--reference", reference, "--reference", further]
    main([*given, "--output", "out.fr"])
    results = json.loads((tmp_path / f"a.en.{folder.name}.results.json").read_text("utf-8"))
    hypotheses = (tmp_path / "out.fr").read_text("utf-8").splitlines()
    several = [["Le chat est sur le tapis."], ["Le chien dort.", "Le chien est endormi."]]
    metrics = ["bleu", "bleu_tok_lc", "ter"]  # of the recipe, like the language and the search
    scores = score_corpus(hypotheses, several, metrics, target_language="fr")
    figures = results["sets"]["a.en"]
    assert (figures["sentences"], figures["references"]) == (2, 3)
    assert list(figures["scores"]) == metrics
    for metric, score in scores.items():
        assert figures["scores"][metric]["value"] == score.value
        assert figures["scores"][metric]["signature"] == score.signature
    assert results["languages"] == {"source": "en", "target": "fr"}
    assert (results["evaluation"]["num_beams"], results["evaluation"]["max_new_tokens"]) == (2, 8)
    assert not {"ctc_weight", "alignment"} & set(results["evaluation"])
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert results["models"] == [{"name": folder.name, "sha256": {"model.safetensors": weights}}]
    assert [one["file"] for one in results["files"]] == ["a.en", "a.fr", "b.fr"]
    assert results["files"][0]["sha256"] == hashlib.sha256((tmp_path / "a.en").read_bytes()).hexdigest()
    assert results["command"].startswith(f"hf-attn-seq2seq evaluate {folder.name} --source a.en")
    assert results["versions"]["torch"] == torch.__version__
    assert str(tmp_path) not in json.dumps(results)
    main([*given, "--json", "again.json"])  # the same by name, and the first again in its own place
    main(given)
    for name in ("again.json", f"a.en.{folder.name}.results.json"):
        again = json.loads((tmp_path / name).read_text("utf-8"))
        assert again["sets"]["a.en"]["scores"] == figures["scores"]


def test_any_model_is_scored_on_files(tmp_path, capsys):
    source = write(tmp_path / "a.en", "The cat is on the mat.", "Where is the station?")
    reference = write(tmp_path / "a.fr", "Le chat est sur le tapis.", "Où est la gare ?")
    main(["en-fr-small", "--source", source, "--reference", reference, "evaluation.bootstrap_samples=0"])
    results = json.loads((tmp_path / "a.en.en-fr-small.results.json").read_text("utf-8"))
    assert results["languages"] == {"source": "en", "target": "fr"}
    assert results["sets"]["a.en"]["scores"]["chrf"]["value"] > 50
    two = ["en-fr-small", "en-fr-small", "--source", source, "--reference", reference]
    main([*two, "evaluation.bootstrap_samples=0"])  # an ensemble
    again = json.loads((tmp_path / "a.en.en-fr-small.en-fr-small.results.json").read_text("utf-8"))
    assert again["sets"]["a.en"]["scores"] == results["sets"]["a.en"]["scores"]


def test_a_model_on_the_hub_is_run_by_its_graph(folder, tmp_path, hub):  # noqa: F811
    source, reference = write(tmp_path / "a.en", "The cat is on the mat."), write(tmp_path / "a.fr", "Le chat.")
    given = ["--source", source, "--reference", reference, "evaluation.bootstrap_samples=0"]
    with asking(hub, tmp_path / "cache"):
        given += ["--json", str(tmp_path / "figures.json")]
        api = HfApi(endpoint=hub.url, token=ALICE)
        api.create_repo("alice/measured", exist_ok=True)
        api.upload_folder(repo_id="alice/measured", folder_path=folder, allow_patterns=["*.json", "*.safetensors"])
        for engine in ("graph", "torch"):  # the graph is refused where it cannot be had
            main(["alice/measured", *given, "--engine", engine, "--output", str(tmp_path / engine)])
    assert (tmp_path / "graph").read_text("utf-8") == (tmp_path / "torch").read_text("utf-8")
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert figures["models"] == [{"name": "measured", "sha256": {"model.safetensors": weights}}]


def test_a_model_without_a_recipe_searches_as_it_was_saved_to(folder, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, bare)
    own = {"num_beams": 3, "max_length": 7, "decoder_start_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    (bare / "generation_config.json").write_text(json.dumps(own), "utf-8")
    source = write(tmp_path / "a.en", "The cat is on the mat.")
    reference = write(tmp_path / "a.fr", "Le chat est sur le tapis.")
    main([str(bare), "--source", source, "--reference", reference, "evaluation.length_penalty=2"])
    results = json.loads((tmp_path / "a.en.bare.results.json").read_text("utf-8"))
    assert list(results["sets"]["a.en"]["scores"]) == ["bleu", "chrf", "exact_match"]
    searched = {name: results["evaluation"][name] for name in ("num_beams", "max_new_tokens", "length_penalty")}
    assert searched == {"num_beams": 3, "max_new_tokens": 6, "length_penalty": 2}
    assert language_of(SimpleNamespace(tgt_lang=None, target_lang="zho")) == "zho"  # as Marian's tokenizer says it
    assert language_of(SimpleNamespace()) is None


def test_bleu_of_files_knows_the_language(folder, tmp_path, capsys):
    reference = write(tmp_path / "r.zh", "我喜欢吃红苹果。", "猫在睡觉。")
    system = write(tmp_path / "s.zh", "我喜欢吃苹果。", "猫在睡觉。")
    options = ["--hypotheses", system, "--reference", reference, "evaluation.bootstrap_samples=0"]
    main(options)
    shown = capsys.readouterr()
    assert "BLEU 13a" in shown.out
    assert re.fullmatch("warning: BLEU: .* name the target language .*\n", shown.err)
    main([*options, "data.target_language=zh"])
    shown = capsys.readouterr()
    assert "BLEU zh" in shown.out
    assert not shown.err
    score = score_corpus(
        ["我喜欢吃苹果。", "猫在睡觉。"], ["我喜欢吃红苹果。", "猫在睡觉。"], ["bleu"], target_language="zh"
    )["bleu"]
    results = json.loads((tmp_path / "s.zh.results.json").read_text("utf-8"))
    assert results["sets"]["s.zh"]["scores"]["bleu"] == {"value": score.value, "signature": score.signature}


def test_a_model_without_recipe_and_corpus_is_measured_on_files_only(folder, tmp_path, capsys):
    """As `make demo` leaves one, or `save_pretrained`."""
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("corpus", "recipe.yaml"))
    with pytest.raises(SystemExit):
        main([str(bare)])
    assert (
        "has no recipe and no corpus, so there are no sets to measure it on: name yours by" in capsys.readouterr().err
    )
    shutil.copy(folder / "recipe.yaml", bare)
    with pytest.raises(SystemExit):
        main([str(bare)])
    assert "run preprocess first" in capsys.readouterr().err


def test_translations_with_their_links_are_not_scored(tmp_path, capsys):
    reference = write(tmp_path / "r.fr", "Le chat est ici.", "a ||| b")
    plain = write(tmp_path / "plain.fr", "Le chat est ici.", "a ||| b")
    linked = write(tmp_path / "linked.fr", "Le chat ||| 0-0 1-1", "Le ||| 0-0")
    options = ["--reference", reference, "evaluation.bootstrap_samples=0", "--hypotheses"]
    main([*options, plain])
    with pytest.raises(SystemExit):
        main([*options, linked])
    said = capsys.readouterr().err
    assert said.startswith(f"error: {linked} has ' ||| ' in every line, as translate writes it")


def test_a_blank_line_has_an_empty_translation(folder, tmp_path, capsys):
    source = write(tmp_path / "a.en", "The cat is on the mat.", " ", "The dog sleeps.")
    reference = write(tmp_path / "a.fr", "Le chat est sur le tapis.", "?", "Le chien dort.")
    output = tmp_path / "out.fr"
    main([str(folder), "--source", source, "--reference", reference, "--output", str(output)])
    assert [bool(line) for line in output.read_text("utf-8").split("\n")] == [True, False, True, False]
    with pytest.raises(SystemExit):
        main([str(folder), "--source", source, "--reference", reference, "--output", source])
    assert "a.en is both input and output" in capsys.readouterr().err


def test_two_systems_are_compared(tmp_path, capsys):
    reference = write(tmp_path / "r.fr", "le chat est noir", "le chien est grand", "il dort bien")
    good = write(tmp_path / "good.fr", "le chat est noir", "le chien est grand", "il dort mal")
    bad = write(tmp_path / "bad.fr", "un chat noir", "le chien est grand", "il dort mal")
    main(["--hypotheses", bad, "--hypotheses", good, "--reference", reference, "evaluation.metrics=[exact_match]"])
    shown = capsys.readouterr().out
    assert "66.67" in shown
    assert "+33.33" in shown
    results = json.loads((tmp_path / "bad.fr.good.fr.results.json").read_text("utf-8"))
    assert {name: one["scores"]["exact_match"]["value"] for name, one in results["sets"].items()} == pytest.approx(
        {"bad.fr": 100 / 3, "good.fr": 200 / 3}
    )
    compared = results["comparison"]
    assert (compared["baseline"], compared["system"]) == ("bad.fr", "good.fr")
    assert compared["metrics"]["exact_match"]["difference"] == pytest.approx(100 / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name the folder of a trained model"),
        (["MODEL", "MODEL"], "Name one model, not 2"),
        (["nowhere"], "There is no model 'nowhere'"),
        (["nowhere.yaml"], "There is no recipe 'nowhere.yaml'"),
        (["MODEL", "--set", "tset"], "There is no set 'tset': choose one of validation, test, test_compositional."),
        (["MODEL", "--compare", "nowhere"], "There is no model 'nowhere'"),
        (["MODEL", "--source", "short"], "need --reference together with --source"),
        (
            ["MODEL", "--source", "short", "--reference", "short", "--compare", "MODEL"],
            "--set, --card and --compare are for the sets of a recipe",
        ),
        (
            ["MODEL", "--source", "short", "--reference", "long"],
            "long has 2 lines and .*short has 1: .*long is 1 longer",
        ),
        (["--hypotheses", "short", "--reference", "blank"], "blank, line 1, is blank"),
        (["--hypotheses", "short", "--hypotheses", "short", "--reference", "short"], "compared with itself"),
        (
            ["--hypotheses", "short", "--hypotheses", "blank", "--reference", "short"],
            "one sentence cannot be resampled",
        ),
        (
            ["--hypotheses", "short", "--reference", "short", "--set", "test"],
            "--set, --card and --compare are for the sets",
        ),
        (["--hypotheses", "short", "--reference", "short", "--output", "out"], "--output is for the translations of"),
        (
            ["MODEL", "--source", "short", "--reference", "short", "--card", "card"],
            "--set, --card and --compare are for",
        ),
        (
            ["MODEL", "--source", "short", "--reference", "short", "--output", "missing/out"],
            "missing/out cannot be written: create its folder, missing, first",
        ),
        (["MODEL", "--output", "out"], "--output is for the translations of --source"),
        (["MODEL", "--json", "out"], "--json is for --source or --hypotheses"),
        (
            ["MODEL", "--source", "short", "--reference", "short", "--json", "missing/out"],
            "missing/out cannot be written: create its folder, missing, first",
        ),
        (["--hypotheses", "short", "--reference", "short", "--json", "long"], "is not the result of an evaluation"),
        (["--hypotheses", "short", "--reference", "short", "--json", "short"], "short is given twice"),
        (["MODEL", "nowhere", "--source", "short", "--reference", "short"], "There is no model 'nowhere'"),
        (["en-fr-small"], "'en-fr-small' was not trained here, .*: name yours by --source and --reference"),
        (["--hypotheses", "short", "--reference", "latin"], "latin, line 1, is not utf-8 text"),
        (["MODEL", "evaluation.beams=3"], "Unknown field 'beams'"),
        (["MODEL", "card.paragraphs=[' ']"], "one of the paragraphs is blank"),
        (["MODEL", "data.target_language=null"], "needs the target's language"),
        (["MODEL", "evaluation.alignment.gold=nothing.jsonl"], "There is no file nothing.jsonl"),
    ],
)
def test_errors_are_one_sentence(arguments, message, folder, results, tmp_path, capsys):
    write(tmp_path / "short", "one")
    write(tmp_path / "long", "un", "deux")
    write(tmp_path / "blank", " ")
    (tmp_path / "latin").write_bytes("été\n".encode("latin-1"))
    names = {"MODEL": str(folder), **{name: str(tmp_path / name) for name in ("short", "long", "blank", "latin")}}
    before = (folder / "results.json").read_bytes()
    with pytest.raises(SystemExit) as exit_status:
        main([names.get(argument, argument) for argument in arguments])
    assert exit_status.value.code == 2
    output = capsys.readouterr()
    said = output.err.strip()
    assert len(said.splitlines()) == 1
    assert re.search(message, said)
    assert output.out == ""
    assert (folder / "results.json").read_bytes() == before


def test_a_model_of_the_same_direction_is_no_reverse_model(folder, tmp_path, capsys):
    same = shutil.copytree(folder, tmp_path / "same")
    with pytest.raises(SystemExit):
        main([str(folder), f"evaluation.alignment.reverse_model={same}", "--set", "validation"])
    assert "same' translates en to fr, as the model does: name one that translates fr to en" in capsys.readouterr().err


@pytest.mark.parametrize(("spoil", "sentence"), SPOILT.items(), ids=[spoil.__name__ for spoil in SPOILT])
def test_a_reverse_model_is_loaded_as_every_model_is(folder, tmp_path, capsys, spoil, sentence):
    reverse = tmp_path / "reverse"
    shutil.copytree(folder, reverse)
    save_recipe(load_recipe(reverse, ["data.source_language=fr", "data.target_language=en"]), reverse)
    spoil(reverse)
    with pytest.raises(SystemExit):
        main([str(folder), f"evaluation.alignment.reverse_model={reverse}", "--set", "validation"])
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert not (reverse / "was-run").exists()
