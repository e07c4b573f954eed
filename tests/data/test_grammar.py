# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The built-in grammar: correct French, gold alignments by construction, splits that leak nothing."""

import itertools
import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from hf_attn_seq2seq.data import grammar as grammar_module
from hf_attn_seq2seq.data.grammar import ADJECTIVES, NOUNS, VERBS, AlignedPair, Grammar, generate_corpus


WORD = re.compile(r"\w+(?:-\w+)*'?|[^\w\s]")  # the project's word tokenizer


@pytest.fixture(scope="module")
def corpus():
    return generate_corpus()


@pytest.fixture(scope="module")
def drawn():
    """Sentences as the grammar draws them, before anything is filtered out."""
    grammar = Grammar(random.Random(11))
    return [grammar.sentence() for _ in range(15000)]


@pytest.fixture
def grammar():
    return Grammar(random.Random(0))


def texts(words):
    return " ".join(word.text for word in words)


# French


@pytest.mark.parametrize(
    ("noun", "determiner", "plural", "adjective", "english", "french"),
    [
        ("man", "the", False, None, "the man", "l' homme"),
        ("hero", "the", False, None, "the hero", "le héros"),
        ("axe", "my", False, None, "my axe", "ma hache"),
        ("story", "my", False, None, "my story", "mon histoire"),
        ("school", "his", False, "old", "his old school", "sa vieille école"),
        ("man", "an", False, "old", "an old man", "un vieil homme"),
        ("hero", "an", False, "old", "an old hero", "un vieux héros"),
        ("man", "the", True, "old", "the old men", "les vieux hommes"),
        ("bird", "this", False, "beautiful", "this beautiful bird", "ce bel oiseau"),
        ("bird", "these", True, "beautiful", "these beautiful birds", "ces beaux oiseaux"),
        ("bird", "this", False, None, "this bird", "cet oiseau"),
        ("owl", "this", False, None, "this owl", "ce hibou"),
        ("hotel", "a", False, "new", "a new hotel", "un nouvel hôtel"),
        ("ewe", "a", False, None, "a ewe", "une brebis"),
        ("egg", "an", False, None, "an egg", "un œuf"),
        ("egg", "some", True, "small", "some small eggs", "de petits œufs"),
        ("cat", "some", True, "black", "some black cats", "des chats noirs"),
        ("actress", "the", True, "happy", "the happy actresses", "les actrices heureuses"),
        ("newspaper", "their", True, None, "their newspapers", "leurs journaux"),
        ("man", "not a", False, None, "a man", "d' homme"),
        ("owl", "any", True, None, "any owls", "de hiboux"),
    ],
)
def test_noun_phrases_agree_and_elide(grammar, noun, determiner, plural, adjective, english, french):
    determiner = "a" if determiner == "an" else determiner
    phrase = grammar.noun_phrase(NOUNS[noun], determiner, plural, ADJECTIVES.get(adjective)).phrase
    assert texts(phrase.source) == english
    assert texts(grammar_module._elide_and_contract(phrase.target)) == french


@pytest.mark.parametrize(
    ("english", "french", "noun", "plural", "expected"),
    [
        ("of", "de", "king", False, "du roi"),
        ("of", "de", "queen", False, "de la reine"),
        ("of", "de", "uncle", False, "de l' oncle"),
        ("of", "de", "uncle", True, "des oncles"),
        ("of", "de", "hero", False, "du héros"),
        ("at", "à", "market", False, "au marché"),
        ("at", "à", "hotel", False, "à l' hôtel"),
        ("to", "à", "girl", True, "aux filles"),
        ("near", "près ~de", "castle", False, "près du château"),
    ],
)
def test_prepositions_contract_with_the_article(grammar, english, french, noun, plural, expected):
    phrase = grammar.unit(english, french).then(grammar.noun_phrase(NOUNS[noun], "the", plural).phrase)
    assert texts(grammar_module._elide_and_contract(phrase.target)) == expected


@pytest.mark.parametrize(
    ("subject", "verb", "mood", "pronoun", "english", "french"),
    [
        ("she", "see", {}, ("him", "le"), "she sees him", "elle le voit"),
        ("she", "see", {"negation": "not"}, ("them", "les"), "she does not see them", "elle ne les voit pas"),
        ("I", "like", {"negation": "never"}, ("her", "la"), "I never like her", "je ne l' aime jamais"),
        ("I", "like", {}, ("it", "le"), "I like it", "je l' aime"),
        ("he", "see", {"auxiliary": "want"}, ("us", "nous"), "he wants to see us", "il veut nous voir"),
        (
            "we",
            "wait for",
            {"auxiliary": "can", "negation": "not"},
            ("you", "vous"),
            "we cannot wait for you",
            "nous ne pouvons pas vous attendre",
        ),
        ("they", "speak", {}, ("~to him", "lui"), "they speak to him", "ils lui parlent"),
        (
            "you",
            "eat",
            {"auxiliary": "have", "negation": "never"},
            None,
            "you have never eaten",
            "vous n' avez jamais mangé",
        ),
        ("I", "open", {"adverb": "often"}, None, "I often open", "j' ouvre souvent"),
        ("he", "be", {"negation": "not"}, None, "he is not", "il n' est pas"),
    ],
)
def test_verbs_take_pronouns_and_negation(grammar, subject, verb, mood, pronoun, english, french):
    subject = grammar.pronoun(subject)
    pronoun = grammar.unit(*pronoun) if pronoun else grammar_module._Phrase()
    predicate = grammar.predicate(subject.agreement, VERBS[verb], grammar_module._Mood(**mood), pronoun=pronoun)
    phrase = grammar_module._Clause(subject, predicate).statement
    assert texts(phrase.source) == english
    assert texts(grammar_module._elide_and_contract(phrase.target)) == french


def test_french_has_no_missed_elision_or_contraction(drawn):
    aspirate = r"(?!héros|haches?\b|hiboux?\b|huit|onze)"
    vowel = rf"{aspirate}(?:[aeiouàâéèêîôœh]|y\b)"
    missed = re.compile(rf"\b(?:[Ll][ea]|de|[Jj]e|ne|me|que|[Cc]e|[Mm]a|[Ss]a) {vowel}")
    superfluous = re.compile(
        r"\w'(?![aeiouàâéèêîôœhy])|(?:\w'|\b(?:cet|bel|vieil|nouvel)) ?(?:héros|hach|hibou|huit|onze)"
    )
    uncontracted = re.compile(r"\b(?:de|à) les?\b|\b(?:du|au) (?:[aeiouéèêîôœ]|hom|hôt|hor|his)")
    wrong = [p.target for p in drawn for rule in (missed, superfluous, uncontracted) if rule.search(p.target)]
    assert not wrong
    seen = set(itertools.chain.from_iterable(p.target_words for p in drawn))
    assert {"l'", "d'", "j'", "n'", "m'", "qu'", "du", "des", "au", "aux", "cet", "bel", "vieil"} <= seen


def test_french_determiners_and_adjectives_agree_with_their_noun(drawn):
    nouns = {form: (n.feminine, plural) for n in NOUNS.values() for plural, form in enumerate(n.french)}
    invariable = {n.french[0] for n in NOUNS.values() if n.french[0] == n.french[1]}
    verbal = {"lit"}  # il les lit
    forms: dict[str, set[tuple[bool, bool]]] = {}
    for adjective in ADJECTIVES.values():
        for index, form in enumerate(adjective.french):
            forms.setdefault(form, set()).add((bool(index % 2), index > 1))
        forms.setdefault(adjective.before_vowel, set()).add((False, False))
    masculine, feminine = {(False, False)}, {(True, False)}
    plural = {(False, True), (True, True)}
    forms.update(dict.fromkeys(("le", "un", "ce", "cet"), masculine))
    forms.update(dict.fromkeys(("la", "une", "cette"), feminine))
    forms.update(dict.fromkeys(("les", "des", "ces", "mes", "ses", "nos", "vos", "leurs", "deux", "douze"), plural))
    forms.update(dict.fromkeys(("chaque", "notre", "votre", "leur"), masculine | feminine))
    checked = 0
    for pair in drawn:
        words = [word.lower() for word in pair.target_words]
        for first, second in itertools.pairwise(words):
            if second in nouns and first in forms and second not in invariable | verbal:
                assert nouns[second] in forms[first], pair.target
                checked += 1
    assert checked > 10000


def test_conjugated_verbs_agree_with_pronoun_subjects(drawn):
    order = ("je", "il", "nous", "vous", "ils")
    persons = {"elle": "il", "elles": "ils", "j'": "je"}
    forms: dict[str, set[str]] = {}
    auxiliaries = [form.split() for _, _, form in grammar_module._AUXILIARIES.values()]
    for french in [*(verb.french for verb in VERBS.values()), *auxiliaries]:
        for person, form in zip(order, french, strict=True):
            forms.setdefault(form, set()).add(person)
    checked = 0
    for pair in drawn:
        words = [word.lower() for word in pair.target_words]
        for first, second in itertools.pairwise(words):
            person = persons.get(first, first)
            if person in ("je", "il", "ils") and second in forms:  # nous and vous are objects too
                assert person in forms[second], pair.target
                checked += 1
    assert checked > 2000


def test_each_english_sentence_has_one_translation(drawn):
    translations: dict[str, set[str]] = {}
    for pair in drawn:
        translations.setdefault(pair.source, set()).add(pair.target)
    assert [source for source, targets in translations.items() if len(targets) > 1] == []


def test_no_english_form_belongs_to_two_lexemes():
    lexemes = [
        *((noun.french[0], noun.english) for noun in NOUNS.values()),
        *((adjective.french[0], (adjective.english,)) for adjective in ADJECTIVES.values()),
        *((verb.infinitive, set(verb.english) - {"-"}) for verb in VERBS.values()),
    ]
    owners: dict[str, set[str]] = {}
    for lexeme, forms in lexemes:
        for form in forms:
            owners.setdefault(form, set()).add(lexeme)
    assert {form: lexemes for form, lexemes in owners.items() if len(lexemes) > 1} == {}


# Words and text


def test_word_tokenizer_gives_back_the_words(drawn):
    for pair in drawn:
        assert tuple(WORD.findall(pair.source)) == pair.source_words
        assert tuple(WORD.findall(pair.target)) == pair.target_words


def test_natural_text():
    pair = AlignedPair(
        ("Is", "the", "man", "here", "?"),
        ("Est-ce", "que", "l'", "homme", "est", "ici", "?"),
        frozenset(),
        frozenset(),
    )
    assert pair.source == "Is the man here?"
    assert pair.target == "Est-ce que l'homme est ici ?"


def test_sentences_begin_with_a_capital_and_end_with_punctuation(drawn):
    for pair in drawn:
        for words in (pair.source_words, pair.target_words):
            assert words[0][0].isupper()
            assert words[-1] in (".", "?")
            assert all(word == word.lower() or word == "I" for word in words[1:])


# Alignments


def test_links_are_in_range_and_reach_every_word(drawn):
    for pair in drawn:
        assert pair.sure <= pair.possible
        assert {i for i, _ in pair.possible} == set(range(len(pair.source_words)))
        assert {j for _, j in pair.possible} == set(range(len(pair.target_words)))


def links(pair):
    """The links as readable words: "man=homme" sure, "does~ne" possible only."""
    return {
        f"{pair.source_words[i]}{'=' if (i, j) in pair.sure else '~'}{pair.target_words[j]}" for i, j in pair.possible
    }


def test_alignment_of_a_negation_with_a_pronoun(grammar):
    subject = grammar.pronoun("she")
    pronoun, mood = grammar.unit("them", "les"), grammar_module._Mood("not")
    predicate = grammar.predicate(subject.agreement, VERBS["look for"], mood, pronoun=pronoun)
    pair = grammar_module._realise(grammar.full_stop(grammar_module._Clause(subject, predicate).statement))
    assert pair.source == "She does not look for them."
    assert pair.target == "Elle ne les cherche pas."
    assert links(pair) == {
        "She=Elle", "does~ne", "not~ne", "not=pas", "look=cherche", "for~cherche", "them=les", ".=.",
    }  # fmt: skip


def test_alignment_of_a_contraction_and_of_a_question(grammar):
    king = grammar.unit("of", "de").then(grammar.noun_phrase(NOUNS["king"], "the").phrase)
    dog = grammar.noun_phrase(NOUNS["dog"], "the")
    subject = dog._replace(phrase=dog.phrase.then(king))
    predicate = grammar.predicate(subject.agreement, VERBS["be"], question=True)
    pair = grammar_module._realise(
        grammar.inverted(grammar_module._Clause(subject, predicate, grammar.unit("here", "ici")))
    )
    assert pair.source == "Is the dog of the king here?"
    assert pair.target == "Est-ce que le chien du roi est ici ?"
    assert links(pair) == {
        "Is~Est-ce", "Is~que", "Is=est", "the=le", "dog=chien", "of=du", "the=du", "king=roi", "here=ici", "?=?",
    }  # fmt: skip


def test_existence_links(drawn):
    negative = next(p for p in drawn if p.source_words[:3] == ("There", "is", "no") and p.target_words[-3] != "de")
    assert negative.target_words[:6] in (("Il", "n'", "y", "a", "pas", "de"), ("Il", "n'", "y", "a", "pas", "d'"))
    assert {(1, 3), (2, 4)} <= negative.sure
    assert {(0, 0), (0, 2), (0, 3), (2, 1), (2, 5)} <= negative.possible - negative.sure
    question = next(p for p in drawn if p.source_words[:2] == ("Is", "there"))
    assert question.target.startswith("Est-ce qu'il y a ")
    assert (0, 4) in question.sure
    assert {(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)} <= question.possible - question.sure


# The corpus


def test_sizes_vocabulary_and_lengths(corpus):
    assert [len(split) for split in corpus[:4]] == [24000, 500, 1000, 1000]
    pairs = list(itertools.chain(*corpus[:4]))
    for side in ("source_words", "target_words"):
        counts = Counter(word for pair in pairs for word in getattr(pair, side))
        lengths = [len(getattr(pair, side)) for pair in pairs]
        assert 380 <= len(counts) <= 450
        assert 8 <= sum(lengths) / len(lengths) <= 10
        assert max(lengths) <= 24


def test_no_sentence_occurs_twice(corpus):
    pairs = list(itertools.chain(*corpus[:4]))
    assert len({pair.source for pair in pairs}) == len(pairs)
    assert len({pair.target for pair in pairs}) == len(pairs)


def test_every_test_word_is_in_train(corpus):
    for side in ("source_words", "target_words"):
        known = {word for pair in corpus.train for word in getattr(pair, side)}
        for split in (corpus.validation, corpus.test, corpus.test_compositional):
            assert {word for pair in split for word in getattr(pair, side)} <= known


def test_held_out_combinations_occur_in_the_compositional_split_only(corpus):
    """Checked on the English text, without the grammar's own record: "red cars", "sees the cat", "under a table"."""
    patterns = {}
    for word, noun in corpus.held_out:
        if word in VERBS:
            first = [
                f"{form} {word.split()[1]}" if " " in word else form for form in VERBS[word].english if form != "-"
            ]
        else:
            first = [word]
        between = "" if word in ADJECTIVES else r"(?:\w+ )"
        patterns[word, noun] = re.compile(rf"\b(?:{'|'.join(first)}) {between}(?:{'|'.join(NOUNS[noun].english)})\b")
    assert len({"adjective" if w in ADJECTIVES else "verb" if w in VERBS else "preposition" for w, _ in patterns}) == 3

    def found(pairs):
        text = "\n".join(pair.source.lower() for pair in pairs)
        return {combination for combination, pattern in patterns.items() if pattern.search(text)}

    assert found([*corpus.train, *corpus.validation, *corpus.test]) == set()
    assert len(found(corpus.test_compositional)) > 0.5 * len(patterns)


@pytest.mark.parametrize("seed", [0, 1, 12])
def test_the_cat_is_in_the_test_split(seed):
    corpus = generate_corpus(seed, train_size=2000, validation_size=100, test_size=5, compositional_size=100)
    cat = [pair for pair in corpus.test if pair.source == "The cat is on the mat."]
    assert [pair.target for pair in cat] == ["Le chat est sur le tapis."]
    assert cat[0].sure == cat[0].possible == {(i, i) for i in range(7)}
    others = itertools.chain(corpus.train, corpus.validation, corpus.test_compositional)
    assert all(pair.source != "The cat is on the mat." for pair in others)


def test_the_seed_decides_whatever_the_hash_seed():
    program = (
        "import hashlib; from hf_attn_seq2seq.data.grammar import generate_corpus\n"
        "pairs = [pair for split in generate_corpus(7, 300, 20, 20, 20)[:4] for pair in split]\n"
        "content = repr([(p.source, p.target, sorted(p.sure), sorted(p.possible)) for p in pairs])\n"
        "print(hashlib.sha256(content.encode()).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert len(digests[0].strip()) == 64
    assert digests[0] == digests[1]
    assert generate_corpus(7, 50, 5, 5, 5) == generate_corpus(7, 50, 5, 5, 5)
    assert generate_corpus(7, 50, 5, 5, 5) != generate_corpus(8, 50, 5, 5, 5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train_size": 10**9}, "at most"),
        ({"train_size": -1}, "negative"),
        ({"test_size": 0}, "test_size must be at least 1"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        generate_corpus(**sizes)
