# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The metrics as modules of the evaluate library: loaded by path from the package, without network."""

import evaluate
import pytest

from hf_attn_seq2seq.evaluation import METRICS, score_corpus
from hf_attn_seq2seq.evaluation.modules import MODULES, path


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a module; the copies that evaluate makes of it stay in the test's own folder."""
    monkeypatch.setattr("evaluate.loading.init_dynamic_modules", lambda: dynamic_modules(tmp_path, monkeypatch))

    def load_module(name, *configuration):
        return evaluate.load(path(name), *configuration, cache_dir=str(tmp_path / "cache"))

    return load_module


def dynamic_modules(folder, monkeypatch):
    package = folder / f"modules_of_{folder.name}"  # a name of its own: Python keeps packages by name
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder))
    return str(package)


def test_each_module_loads_by_path(load):
    for name in MODULES:
        assert load(name, *(["fr"] if name == "bleu_tok_lc" else [])).name == name


@pytest.mark.parametrize("name", [name for name in METRICS if name != "bleu_tok_lc"])
def test_a_module_gives_the_score_of_its_metric(load, name):
    hypotheses = ["K AE T", "R EH D", "T UW L IY"]
    references = [["K AE T"], ["R IY D", "R EH D"], ["T UW", "T AH L IY Z"]]
    score = score_corpus(hypotheses, references, [name])[name]
    assert load(name).compute(predictions=hypotheses, references=references) == {
        name: score.value,
        f"{name}_signature": score.signature,
    }


def test_one_reference_needs_no_list(load):
    assert load("per").compute(predictions=["K AE T", "D"], references=["K AE T", "T"])["per"] == 25


def test_the_configuration_of_bleu_is_the_target_language(load):
    computed = load("bleu", "zh").compute(predictions=["我喜欢吃红苹果。"], references=["我喜欢吃红苹果。"])
    assert computed["bleu"] == pytest.approx(100)
    assert "|tok:zh|" in computed["bleu_signature"]


def test_a_blank_further_reference_is_none(load):
    prediction, reference = "the cat sat", "the cat sat on the mat today"
    bleu = load("bleu")
    alone = bleu.compute(predictions=[prediction], references=[[reference]])
    assert bleu.compute(predictions=[prediction], references=[[reference, " "]]) == alone
    with pytest.raises(ValueError, match=r"references\[0\] is blank"):
        bleu.compute(predictions=[prediction], references=[[""]])


def test_the_configuration_of_tok_lc_is_its_language(load):
    computed = load("bleu_tok_lc", "fr").compute(
        predictions=["L'homme est là, ici."], references=["l'homme est là, ici."]
    )
    assert computed["bleu_tok_lc"] == pytest.approx(100)
    assert "moses-norm-fr" in computed["bleu_tok_lc_signature"]
    with pytest.raises(ValueError, match="needs the target's language"):
        load("bleu_tok_lc").compute(predictions=["a"], references=["a"])


def test_aer_by_hand(load):
    # A = {0-0, 1-1, 2-2}, S = {0-0, 1-1}, P = S and 2-3: of A two are sure, two possible.
    computed = load("aer").compute(predictions=["0-0 1-1", "2-2"], references=["0-0 1-1", "2p3 2-2"])
    assert computed == {"aer": 0, "aer_precision": 100, "aer_recall": 100}
    computed = load("aer").compute(predictions=["0-0 1-1 2-2"], references=["0-0 1-1 2p3"])
    assert computed["aer"] == pytest.approx(100 * (1 - (2 + 2) / (3 + 2)))
    assert computed["aer_precision"] == pytest.approx(100 * 2 / 3)
    assert computed["aer_recall"] == 100


def test_modules_combine(load):
    phones = evaluate.combine([load("sequence_error_rate"), load("per"), load("exact_match")])
    computed = phones.compute(predictions=["K AE T", "D"], references=[["K AE T", "K AH T"], ["T"]])
    assert (computed["sequence_error_rate"], computed["per"], computed["exact_match"]) == (50, 25, 50)
    links = evaluate.combine([load("aer"), load("exact_match")])
    computed = links.compute(predictions=["0-0 1-1", "0-0"], references=["0-0 1-1", "0-1"])
    assert (computed["aer"], computed["exact_match"]) == (pytest.approx(100 * (1 - 4 / 6)), 50)


def test_modules_are_fed_in_parts(load):
    rate = load("sequence_error_rate")
    rate.add(prediction="K AE T", reference=["K AE T", "K AH T"])
    rate.add_batch(predictions=["D", "T"], references=[["T"], ["T", "D"]])
    assert rate.compute()["sequence_error_rate"] == pytest.approx(100 / 3)


def test_an_unknown_module():
    with pytest.raises(ValueError, match="no evaluate module 'bleurt': choose among aer"):
        path("bleurt")


def test_a_link_that_is_none(load):
    with pytest.raises(ValueError, match="'0:0' is not a link"):
        load("aer").compute(predictions=["0:0"], references=["0-0"])
