# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The built-in corpus: an English-French grammar whose sentence pairs carry gold word alignments.

Each phrase is built in both languages at once. Words that translate each other share a concept, and the alignment is
derived from the shared concepts after the French has been ordered, elided and contracted, without any search.
Sure and possible links are those of Och and Ney (2003), "A Systematic Comparison of Various Statistical Alignment
Models".

Conventions that give each English sentence one French translation: `you` is `vous` with masculine plural agreement,
the speakers behind `I` and `we` are men, `they` is `ils` unless the sentence names who they are, `it` has its
antecedent in the sentence, and every English word has one French lexeme.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple


MAX_PAIRS = 100_000  # well below the number of distinct sentences
HELD_OUT_SHARE = 0.06  # of the combinations of each kind

# ---------------------------------------------------------------------------------------------------------------------
# Lexicon: every form is listed, none is derived by rule.
# ---------------------------------------------------------------------------------------------------------------------

# English singular and plural, French singular and plural, gender, and the roles the noun can have.
_NOUNS = """
man        men         homme      hommes      m person role grown unowned
woman      women       femme      femmes      f person role grown unowned
boy        boys        garçon     garçons     m person role unowned
girl       girls       fille      filles      f person role unowned
child      children    enfant     enfants     m person role
student    students    élève      élèves      m person role
pupil      pupils      élève      élèves      m person role
king       kings       roi        rois        m person role grown unowned
queen      queens      reine      reines      f person role grown unowned
friend     friends     ami        amis        m person grown
doctor     doctors     médecin    médecins    m person role grown
physician  physicians  médecin    médecins    m person role grown
teacher    teachers    professeur professeurs m person role grown
hero       heroes      héros      héros       m person role grown unowned
actress    actresses   actrice    actrices    f person role grown unowned
brother    brothers    frère      frères      m person
sister     sisters     sœur       sœurs       f person
mother     mothers     mère       mères       f person grown
son        sons        fils       fils        m person
uncle      uncles      oncle      oncles      m person grown
aunt       aunts       tante      tantes      f person grown
cat        cats        chat       chats       m animal
dog        dogs        chien      chiens      m animal
horse      horses      cheval     chevaux     m animal
bird       birds       oiseau     oiseaux     m animal
mouse      mice        souris     souris      f animal
ewe        ewes        brebis     brebis      f animal
owl        owls        hibou      hiboux      m animal
goose      geese       oie        oies        f animal
bear       bears       ours       ours        m animal
wolf       wolves      loup       loups       m animal
donkey     donkeys     âne        ânes        m animal
hat        hats        chapeau    chapeaux    m thing
umbrella   umbrellas   parapluie  parapluies  m thing
bag        bags        sac        sacs        m thing container
flower     flowers     fleur      fleurs      f thing
gift       gifts       cadeau     cadeaux     m thing opening
present    presents    cadeau     cadeaux     m thing opening
knife      knives      couteau    couteaux    m thing
axe        axes        hache      haches      f thing
clock      clocks      horloge    horloges    f thing
box        boxes       boîte      boîtes      f thing container opening inside
book       books       livre      livres      m thing text
letter     letters     lettre     lettres     f thing text opening
newspaper  newspapers  journal    journaux    m thing text
story      stories     histoire   histoires   f text
tale       tales       histoire   histoires   f text
apple      apples      pomme      pommes      f food
orange     oranges     orange     oranges     f food
egg        eggs        œuf        œufs        m food
cake       cakes       gâteau     gâteaux     m food
nut        nuts        noix       noix        f food
car        cars        voiture    voitures    f vehicle
automobile automobiles voiture    voitures    f vehicle
boat       boats       bateau     bateaux     m vehicle
bus        buses       autobus    autobus     m vehicle
door       doors       porte      portes      f opening landmark
window     windows     fenêtre    fenêtres    f opening landmark
table      tables      table      tables      f surface cover landmark furniture
chair      chairs      chaise     chaises     f surface cover landmark furniture
bed        beds        lit        lits        m surface cover landmark furniture
mat        mats        tapis      tapis       m surface cover furniture
carpet     carpets     tapis      tapis       m surface cover furniture
bridge     bridges     pont       ponts       m surface cover landmark place unowned
tree       trees       arbre      arbres      m cover landmark place
house      houses      maison     maisons     f place inside landmark
garden     gardens     jardin     jardins     m place inside goal landmark
room       rooms       chambre    chambres    f place inside
street     streets     rue        rues        f place inside unowned
forest     forests     forêt      forêts      f place inside landmark unowned
village    villages    village    villages    m place inside goal landmark
school     schools     école      écoles      f place inside public goal landmark
hotel      hotels      hôtel      hôtels      m place inside public goal landmark unowned
market     markets     marché     marchés     m place public goal landmark unowned
station    stations    gare       gares       f place inside public goal landmark unowned
church     churches    église     églises     f place inside public goal landmark unowned
museum     museums     musée      musées      m place inside public goal landmark unowned
castle     castles     château    châteaux    m place inside public goal landmark unowned
palace     palaces     palais     palais      m place inside public goal landmark unowned
"""

# English and its comparative ("more" if it takes more, "-" if it has none); French masculine and feminine singular,
# masculine and feminine plural, and the masculine singular before a vowel; its position in French; the nouns it
# modifies. `grand` and `petit` do not modify persons: a `grand homme` is a great man.
_ADJECTIVES = """
big       bigger    grand   grande   grands   grandes   grand   before animal thing vehicle furniture place
large     larger    grand   grande   grands   grandes   grand   before animal thing vehicle furniture place
small     smaller   petit   petite   petits   petites   petit   before animal thing vehicle furniture place food
little    -         petit   petite   petits   petites   petit   before animal thing vehicle furniture place food
old       older     vieux   vieille  vieux    vieilles  vieil   before grown animal thing vehicle furniture place
young     younger   jeune   jeune    jeunes   jeunes    jeune   before person animal
beautiful more      beau    belle    beaux    belles    bel     before role animal thing vehicle place
lovely    -         beau    belle    beaux    belles    bel     before role animal thing vehicle place
new       -         nouveau nouvelle nouveaux nouvelles nouvel  before thing vehicle furniture place text role
good      -         bon     bonne    bons     bonnes    bon     before text food
red       -         rouge   rouge    rouges   rouges    rouge   after  thing vehicle furniture opening
black     -         noir    noire    noirs    noires    noir    after  thing vehicle furniture animal
yellow    -         jaune   jaune    jaunes   jaunes    jaune   after  thing vehicle furniture opening
tired     -         fatigué fatiguée fatigués fatiguées fatigué after  person animal
sick      -         malade  malade   malades  malades   malade  after  person animal
ill       -         malade  malade   malades  malades   malade  after  person animal
happy     happier   heureux heureuse heureux  heureuses heureux after  person
sad       sadder    triste  triste   tristes  tristes   triste  after  person animal text
rich      richer    riche   riche    riches   riches    riche   after  person
wealthy   wealthier riche   riche    riches   riches    riche   after  person
famous    more      célèbre célèbre  célèbres célèbres  célèbre after  person text public
calm      calmer    calme   calme    calmes   calmes    calme   after  person animal goal
empty     -         vide    vide     vides    vides     vide    after  container inside
dirty     dirtier   sale    sale     sales    sales     sale    after  thing vehicle furniture animal
fast      faster    rapide  rapide   rapides  rapides   rapide  after  vehicle animal
quick     quicker   rapide  rapide   rapides  rapides   rapide  after  vehicle animal
"""

# Verb and particle; English base, third person and past participle ("-" if the perfect is not used); French je, il,
# nous, vous, ils, infinitive and past participle.
_VERBS = """
see        | see sees seen                | vois voit voyons voyez voient voir vu
like       | like likes -                 | aime aime aimons aimez aiment aimer -
look for   | look looks looked            | cherche cherche cherchons cherchez cherchent chercher cherché
search for | search searches searched     | cherche cherche cherchons cherchez cherchent chercher cherché
find       | find finds found             | trouve trouve trouvons trouvez trouvent trouver trouvé
have       | have has -                   | ai a avons avez ont avoir -
buy        | buy buys bought              | achète achète achetons achetez achètent acheter acheté
purchase   | purchase purchases purchased | achète achète achetons achetez achètent acheter acheté
eat        | eat eats eaten               | mange mange mangeons mangez mangent manger mangé
read       | read reads read              | lis lit lisons lisez lisent lire lu
open       | open opens opened            | ouvre ouvre ouvrons ouvrez ouvrent ouvrir ouvert
wait for   | wait waits waited            | attends attend attendons attendez attendent attendre attendu
give       | give gives given             | donne donne donnons donnez donnent donner donné
speak      | speak speaks spoken          | parle parle parlons parlez parlent parler parlé
talk       | talk talks talked            | parle parle parlons parlez parlent parler parlé
go         | go goes -                    | vais va allons allez vont aller -
sleep      | sleep sleeps slept           | dors dort dormons dormez dorment dormir dormi
work       | work works worked            | travaille travaille travaillons travaillez travaillent travailler travaillé
run        | run runs run                 | cours court courons courez courent courir couru
be         | be is -                      | suis est sommes êtes sont être -
"""
# The subjects and objects of each verb, and what may follow.
_VERB_USES = """
see        | person animal | person animal thing vehicle                   | place time
like       | person animal | person animal thing food text place furniture | definite stative
look for   | person animal | person animal thing                           | place company time
search for | person animal | person animal thing                           | place company time
find       | person        | animal thing food                             | place
have       | person        | animal thing vehicle food                     | stative
buy        | person        | thing vehicle food furniture                  | benefit market
purchase   | person        | thing vehicle food furniture                  | benefit market
eat        | person animal | food                                          | place company time
read       | person        | text                                          | place company time
open       | person        | opening                                       | benefit time
wait for   | person        | person vehicle                                | place company time
give       | person        | thing food                                    | recipient
speak      | person        |                                               | addressee time
talk       | person        |                                               | addressee time
go         | person        |                                               | goal
sleep      | person animal |                                               | well place
work       | person        |                                               | well place company time
run        | person animal |                                               | quickly place time
be         | person animal |                                               | stative
"""

# French masculine, feminine and plural of each determiner; "-" if there is none.
_DETERMINERS = {
    "the": ("le", "la", "les"),
    "a": ("un", "une", "-"),
    "some": ("-", "-", "des"),
    "this": ("ce", "cette", "-"),
    "these": ("-", "-", "ces"),
    "every": ("chaque", "chaque", "-"),
    "each": ("chaque", "chaque", "-"),
    "my": ("mon", "ma", "mes"),
    "your": ("votre", "votre", "vos"),
    "his": ("son", "sa", "ses"),
    "her": ("son", "sa", "ses"),
    "our": ("notre", "notre", "nos"),
    "their": ("leur", "leur", "leurs"),
}
_POSSESSIVES = ("my", "your", "his", "her", "our", "their")
_UNDER_NEGATION = {"not a": "a", "any": "any", "no": "no"}  # de in French: pas de chat
_NUMBERS = {
    "two": "deux",
    "three": "trois",
    "four": "quatre",
    "five": "cinq",
    "six": "six",
    "seven": "sept",
    "eight": "huit",
    "nine": "neuf",
    "ten": "dix",
    "eleven": "onze",
    "twelve": "douze",
}
# A word after "~" is linked as possible only.
_PREPOSITIONS = {
    "on": ("on", "sur", "surface"),
    "under": ("under", "sous", "cover"),
    "beneath": ("beneath", "sous", "cover"),
    "in": ("in", "dans", "inside"),
    "behind": ("behind", "derrière", "landmark"),
    "in front of": ("in front of", "devant", "landmark"),
    "near": ("near", "près ~de", "landmark"),
    "close to": ("close ~to", "près ~de", "landmark"),
    "at": ("at", "à", "public"),
    "with": ("with", "avec", "person"),
    "for": ("for", "pour", "person"),
    "without": ("without", "sans", "person"),
    "to": ("to", "à", "person goal"),
    "of": ("of", "de", "person"),
    "between": ("between", "entre", "landmark"),
}
_PLACES = {
    "in": 9,
    "on": 5,
    "under": 3,
    "beneath": 2,
    "behind": 3,
    "in front of": 3,
    "near": 3,
    "close to": 2,
    "at": 4,
    "between": 1,
}
_TIMES = {
    "every day": "chaque jour",
    "every morning": "chaque matin",
    "every evening": "chaque soir",
    "now": "maintenant",
    "here": "ici",
}
_ADVERBS = {"often": "souvent", "always": "toujours", "well": "bien", "quickly": "vite"}
_NEGATIONS = {"not": "~ne pas", "never": "~ne jamais"}
_AUXILIARIES = {  # English plain and third person; French je, il, nous, vous, ils
    "have": ("have", "has", "ai a avons avez ont"),
    "can": ("can", "can", "peux peut pouvons pouvez peuvent"),
    "must": ("must", "must", "dois doit devons devez doivent"),
    "want": ("want", "wants", "veux veut voulons voulez veulent"),
}
# Temporary states, which combine with "often" and "never".
_STATES = frozenset({"tired", "sick", "ill", "happy", "sad", "calm", "dirty", "empty"})
_ATTRIBUTIVE = frozenset({"new", "little"})  # a predicate "new" would be neuf
_PREDICATIVE = frozenset({"ill"})
_COLOURS = frozenset({"red", "black", "yellow"})

_BEFORE_VOWEL = {
    "le": "l'",
    "la": "l'",
    "de": "d'",
    "je": "j'",
    "ne": "n'",
    "me": "m'",
    "que": "qu'",
    "ce": "cet",
    "ma": "mon",
    "sa": "son",
}
_CONTRACTIONS = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}
# Begin with a vowel or an h, but there is no elision before them.
_ASPIRATE = frozenset({"héros", "hache", "haches", "hibou", "hiboux", "huit", "onze"})


class _Noun(NamedTuple):
    english: tuple[str, str]  # singular, plural
    french: tuple[str, str]
    feminine: bool
    uses: frozenset[str]


class _Adjective(NamedTuple):
    english: str
    comparative: str
    french: tuple[str, str, str, str]  # masculine, feminine, masculine plural, feminine plural
    before_vowel: str
    precedes: bool
    uses: frozenset[str]


class _Verb(NamedTuple):
    name: str
    english: tuple[str, str, str]  # base, third person, past participle
    particle: str
    french: tuple[str, ...]  # je, il, nous, vous, ils
    infinitive: str
    participle: str
    subjects: frozenset[str]
    objects: frozenset[str]
    options: frozenset[str]


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def _read_verb(forms: str, uses: str) -> _Verb:
    name, english, french = (part.split() for part in forms.split("|"))
    _, subjects, objects, options = (part.split() for part in uses.split("|"))
    return _Verb(
        " ".join(name),
        (english[0], english[1], english[2]),
        f" ~{name[1]}" if name[1:] else "",
        tuple(french[:5]),
        french[5],
        french[6],
        frozenset(subjects),
        frozenset(objects),
        frozenset(options),
    )


NOUNS = {r[0]: _Noun((r[0], r[1]), (r[2], r[3]), r[4] == "f", frozenset(r[5:])) for r in _rows(_NOUNS)}
ADJECTIVES = {
    r[0]: _Adjective(r[0], r[1], (r[2], r[3], r[4], r[5]), r[6], r[7] == "before", frozenset(r[8:]))
    for r in _rows(_ADJECTIVES)
}
VERBS = {v.name: v for v in map(_read_verb, _VERBS.strip().splitlines(), _VERB_USES.strip().splitlines())}


# ---------------------------------------------------------------------------------------------------------------------
# Results
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlignedPair:
    """An English sentence, its French translation and their gold alignment.

    Links are (source word index, target word index), counted from 0; `possible` contains `sure` (Och and Ney 2003).
    """

    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]

    @property
    def source(self) -> str:
        """The English sentence as natural text."""
        return _natural_text(self.source_words, unspaced=".,?")

    @property
    def target(self) -> str:
        """The French sentence as natural text: unlike English, it has a space before the question mark."""
        return _natural_text(self.target_words, unspaced=".,")


class GrammarCorpus(NamedTuple):
    """Splits without common English or French sentences, and the combinations that only `test_compositional` has."""

    train: list[AlignedPair]
    validation: list[AlignedPair]
    test: list[AlignedPair]
    test_compositional: list[AlignedPair]
    held_out: frozenset[tuple[str, str]]  # (adjective, noun), (verb, object noun) and (preposition, noun)


def _natural_text(words: Iterable[str], unspaced: str) -> str:
    text = ""
    for word in words:
        text += word if not text or text.endswith("'") or word in unspaced else f" {word}"
    return text


# ---------------------------------------------------------------------------------------------------------------------
# Phrases in two languages
# ---------------------------------------------------------------------------------------------------------------------


class _Word(NamedTuple):
    """A word and the concepts it realizes: a shared sure concept makes a sure link, any shared one a possible link."""

    text: str
    sure: frozenset[int] = frozenset()
    possible: frozenset[int] = frozenset()

    def hint(self, concept: int) -> _Word:
        return self._replace(possible=self.possible | {concept})


_Words = tuple[_Word, ...]


class _Phrase(NamedTuple):
    source: _Words = ()
    target: _Words = ()

    def then(self, *others: _Phrase) -> _Phrase:
        """This phrase and the others, in the same order in both languages."""
        parts = (self, *others)
        return _Phrase(sum((p.source for p in parts), ()), sum((p.target for p in parts), ()))


_NOTHING = _Phrase()


class _Agreement(NamedTuple):
    person: int
    plural: bool
    feminine: bool = False

    @property
    def third_singular(self) -> bool:
        return self.person == 3 and not self.plural

    @property
    def french(self) -> int:
        """Index among je, il, nous, vous, ils."""
        return {1: 2, 2: 3, 3: 4}[self.person] if self.plural else {1: 0, 3: 1}[self.person]

    def adjective(self, adjective: _Adjective) -> str:
        return adjective.french[2 * self.plural + self.feminine]


class _Nominal(NamedTuple):
    phrase: _Phrase
    agreement: _Agreement
    nouns: tuple[_Noun, ...] = ()  # none for a pronoun


class _Mood(NamedTuple):
    negation: str = ""  # "", "not" or "never"
    adverb: str = ""
    auxiliary: str = ""


_PLAIN = _Mood()


class _Predicate(NamedTuple):
    """A verb with its auxiliaries; `front` has the English words that a question moves before the subject."""

    front: _Words
    source: _Words
    target: _Words


class _Clause(NamedTuple):
    subject: _Nominal
    predicate: _Predicate
    rest: _Phrase = _NOTHING

    @property
    def statement(self) -> _Phrase:
        verb = _Phrase(self.predicate.front + self.predicate.source, self.predicate.target)
        return self.subject.phrase.then(verb, self.rest)


_SUBJECT_PRONOUNS = {
    "I": ("je", _Agreement(1, False)),
    "you": ("vous", _Agreement(2, True)),
    "he": ("il", _Agreement(3, False)),
    "she": ("elle", _Agreement(3, False, True)),
    "we": ("nous", _Agreement(1, True)),
    "they": ("ils", _Agreement(3, True)),
}
_OBJECT_PRONOUNS = {  # French direct and indirect object, grammatical person
    "me": ("me", "me", 1),
    "you": ("vous", "vous", 2),
    "him": ("le", "lui", 3),
    "her": ("la", "lui", 3),
    "us": ("nous", "nous", 1),
    "them": ("les", "leur", 3),
}


def _starts_with_vowel(french: str) -> bool:
    return french not in _ASPIRATE and french[0] in "aàâeéêèiîoôuyœh"


def _takes_an(english: str) -> bool:
    return english[0] in "aeiou" and english != "ewe"


def _elide_and_contract(words: _Words) -> _Words:
    """Apply elision (l', d', qu' ...), cet and mon before a vowel, and du, des, au, aux, from the last word back.

    Here `le` and `les` follow `de` or `à` only as articles, so they always contract.
    """
    result: list[_Word] = []
    for word in reversed(words):
        following = result[-1] if result else _Word(".")
        if word.text in _BEFORE_VOWEL and _starts_with_vowel(following.text):
            word = word._replace(text=_BEFORE_VOWEL[word.text])
        contracted = _CONTRACTIONS.get((word.text, following.text))
        if contracted:
            result[-1] = _Word(contracted, word.sure | following.sure, word.possible | following.possible)
        else:
            result.append(word)
    return tuple(reversed(result))


def _capitalised(words: _Words) -> tuple[str, ...]:
    texts = tuple(word.text for word in words)
    return (texts[0][0].upper() + texts[0][1:], *texts[1:])


def _realise(phrase: _Phrase) -> AlignedPair:
    source, target = phrase.source, _elide_and_contract(phrase.target)
    sure, possible = set(), set()
    concepts = [(t.sure, t.sure | t.possible) for t in target]
    for i, s in enumerate(source):
        either = s.sure | s.possible
        for j, (certain, all_of_them) in enumerate(concepts):
            if not either.isdisjoint(all_of_them):
                possible.add((i, j))
                if not s.sure.isdisjoint(certain):
                    sure.add((i, j))
    return AlignedPair(_capitalised(source), _capitalised(target), frozenset(sure), frozenset(possible))


# ---------------------------------------------------------------------------------------------------------------------
# The grammar
# ---------------------------------------------------------------------------------------------------------------------


@functools.cache
def _nouns_for(uses: frozenset[str]) -> list[_Noun]:
    return [noun for noun in NOUNS.values() if not noun.uses.isdisjoint(uses)]


@functools.cache
def _adjectives_for(uses: frozenset[str]) -> list[_Adjective]:
    return [a for a in ADJECTIVES.values() if not a.uses.isdisjoint(uses) and a.english not in _PREDICATIVE]


class Grammar:
    """Samples sentences. `combinations` has the (word, noun) combinations of the last sentence."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.combinations: set[tuple[str, str]] = set()
        self._concepts = itertools.count()
        self._structures: dict[Callable[[], _Phrase], int] = {
            self.transitive_statement: 20,
            self.object_pronoun: 12,
            self.intransitive_statement: 7,
            self.giving: 5,
            self.going: 5,
            self.adjective_statement: 8,
            self.place_statement: 7,
            self.comparison: 5,
            self.existence: 5,
            self.yes_no_question: 9,
            self.where_question: 3,
            self.who_question: 3,
            self.what_question: 3,
            self.why_question: 2,
            self.how_many_question: 2,
            self.relative_subject: 5,
            self.relative_object: 4,
            self.coordination: 4,
            self.reason: 3,
            self.anaphora: 6,
        }

    def sentence(self) -> AlignedPair:
        """Sample one sentence pair: first a structure by its weight, then the words in it."""
        self.combinations = set()
        structure = self.rng.choices(list(self._structures), list(self._structures.values()))[0]
        return _realise(structure())

    # Drawing

    def _pick(self, weights: dict[str, int]) -> str:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _nouns(self, uses: Iterable[str], but: Iterable[_Noun] = ()) -> list[_Noun]:
        taken = {noun.french for noun in but}  # avoids pupil and student together: both are élève
        return [noun for noun in _nouns_for(frozenset(uses)) if noun.french not in taken]

    def _noun(self, uses: Iterable[str], but: Iterable[_Noun] = ()) -> _Noun:
        return self.rng.choice(self._nouns(uses, but))

    def _adjective(self, noun: _Noun) -> _Adjective:
        return self.rng.choice(_adjectives_for(noun.uses))

    def _mood(self, verb: _Verb, question: bool = False) -> _Mood:
        negation = "" if question else self._pick({"": 70, "not": 21, "never": 9})
        auxiliaries = {"": 62}
        if "stative" not in verb.options:
            auxiliaries.update({"want": 10, "can": 10, "must": 7})
            if verb.participle != "-":
                auxiliaries["have"] = 13
        auxiliary = self._pick(auxiliaries)
        frequent = not negation and auxiliary in ("", "have") and verb.name != "have" and self._chance(0.2)
        return _Mood(negation, self._pick({"often": 3, "always": 2}) if frequent else "", auxiliary)

    # Words

    def unit(self, source: str, target: str) -> _Phrase:
        """Words that translate each other; those after "~" are linked as possible only."""
        concept = frozenset({next(self._concepts)})

        def words(text: str) -> _Words:
            return tuple([_Word(w[1:], possible=concept) if w[0] == "~" else _Word(w, concept) for w in text.split()])

        return _Phrase(words(source), words(target))

    # Noun phrases

    def determiner(self, english: str, plural: bool, feminine: bool) -> _Phrase:
        return self.unit(english, _DETERMINERS[english][2 if plural else feminine])

    def noun_phrase(
        self, noun: _Noun, determiner: str, plural: bool = False, adjective: _Adjective | None = None, number: str = ""
    ) -> _Nominal:
        """A determiner, a number (either may be ""), an adjective and a noun."""
        agreement = _Agreement(3, plural, noun.feminine)
        head = self.unit(noun.english[plural], noun.french[plural])
        if adjective:
            self.combinations.add((adjective.english, noun.english[0]))
            form = agreement.adjective(adjective)
            if adjective.precedes and not plural and not noun.feminine and _starts_with_vowel(noun.french[0]):
                form = adjective.before_vowel
            quality = self.unit(adjective.english, form)
            target = quality.target + head.target if adjective.precedes else head.target + quality.target
            head = _Phrase(quality.source + head.source, target)
        if number:
            head = self.unit(number, _NUMBERS[number]).then(head)
        if determiner in _UNDER_NEGATION:
            head = self.unit(_UNDER_NEGATION[determiner], "de").then(head)
        elif determiner == "some" and adjective and adjective.precedes:
            head = self.unit("some", "de").then(head)
        elif determiner:
            head = self.determiner(determiner, plural, noun.feminine).then(head)
        if head.source[0].text == "a" and _takes_an(head.source[1].text):
            head = _Phrase((head.source[0]._replace(text="an"), *head.source[1:]), head.target)
        return _Nominal(head, agreement, (noun,))

    def some_noun_phrase(
        self, noun: _Noun, determiners: dict[str, int], adjectives: float = 0.25, plurals: float = 0.35
    ) -> _Nominal:
        """A noun phrase with one of the weighted `determiners`: "this", "my" and "number" stand for their kind."""
        determiner = self._pick(determiners)
        plural = determiner in ("some", "any", "number", "the number") or (
            determiner in ("the", "this", "my", "no") and self._chance(plurals)
        )
        number = self.rng.choice(list(_NUMBERS)) if "number" in determiner else ""
        if determiner == "my" and "unowned" in noun.uses:
            determiner = "the"
        elif determiner == "my":
            determiner = self.rng.choice(_POSSESSIVES)
        elif determiner == "this" and plural:
            determiner = "these"
        adjective = self._adjective(noun) if self._chance(adjectives) else None
        return self.noun_phrase(noun, determiner.replace("number", "").strip(), plural, adjective, number)

    def simple(self, noun: _Noun, adjectives: float = 0.15) -> _Nominal:
        return self.some_noun_phrase(noun, {"the": 60, "a": 10, "this": 8, "my": 22}, adjectives, plurals=0.25)

    def pronoun(self, english: str, feminine: bool = False) -> _Nominal:
        french, agreement = _SUBJECT_PRONOUNS[english]
        if feminine and english == "they":
            french, agreement = "elles", agreement._replace(feminine=True)
        return _Nominal(self.unit(english, french), agreement)

    def personal_pronoun(self) -> _Nominal:
        return self.pronoun(self.rng.choice(list(_SUBJECT_PRONOUNS)))

    def pronoun_for(self, nominal: _Nominal) -> _Nominal:
        """The subject pronoun that refers to a person named earlier in the sentence."""
        person, plural, feminine = nominal.agreement
        if person == 3:
            return self.pronoun("they" if plural else "she" if feminine else "he", feminine)
        return self.pronoun("you" if person == 2 else "we" if plural else "I")

    def pair_of(self, uses: Iterable[str]) -> _Nominal:
        """Two coordinated noun phrases of one kind: feminine only if both are."""
        noun = self._noun(uses)
        first = self.simple(noun, adjectives=0)
        second = self.simple(self._noun(noun.uses.intersection(uses), but=(noun,)), adjectives=0)
        feminine = first.agreement.feminine and second.agreement.feminine
        phrase = first.phrase.then(self.unit("and", "et"), second.phrase)
        return _Nominal(phrase, _Agreement(3, True, feminine), first.nouns + second.nouns)

    def genitive(self, noun: _Noun, but: Iterable[_Noun] = ()) -> _Nominal:
        owned = self.noun_phrase(noun, "the", self._chance(0.3))
        owner = self.prepositional("of", but=(noun, *but))
        return owned._replace(phrase=owned.phrase.then(owner))

    def subject(
        self, uses: Iterable[str], negated: bool = False, pronouns: float = 0.3, definite: bool = False
    ) -> _Nominal:
        uses = frozenset(uses)
        if "person" in uses and self._chance(pronouns):
            return self.personal_pronoun()
        if self._chance(0.08):
            return self.pair_of(uses)
        noun = self._noun(uses)
        if "unowned" not in noun.uses and self._chance(0.1):
            return self.genitive(noun)
        determiners = {"the": 45, "this": 9, "my": 22, "the number": 4}
        if not definite:
            determiners.update({"a": 8, "number": 5})
        return self.some_noun_phrase(noun, determiners if negated else {**determiners, "every": 4, "each": 3})

    def direct_object(self, verb: _Verb, negated: bool = False, but: Iterable[_Noun] = ()) -> _Nominal:
        """A direct object; after a negation, indefinite articles become de."""
        noun = self._noun(verb.objects, but)
        self.combinations.add((verb.name, noun.english[0]))
        if "unowned" not in noun.uses and self._chance(0.1):
            return self.genitive(noun, but)
        determiners = {"the": 40, "this": 9, "my": 20}
        if "definite" not in verb.options:
            determiners.update({"not a": 16, "any": 8} if negated else {"a": 16, "some": 6, "number": 9})
        return self.some_noun_phrase(noun, determiners)

    # Prepositional phrases and adverbs

    def prepositional(self, preposition: str, uses: Iterable[str] = (), but: Iterable[_Noun] = ()) -> _Phrase:
        english, french, default_uses = _PREPOSITIONS[preposition]
        noun = self._noun(uses or default_uses.split(), but)
        self.combinations.add((preposition, noun.english[0]))
        if preposition in ("at", "to") and "goal" in noun.uses:  # à un musée would rather be dans un musée
            complement = self.some_noun_phrase(noun, {"the": 7, "this": 1, "my": 2}, adjectives=0.12, plurals=0)
        else:
            complement = self.simple(noun, adjectives=0.12)
        phrase = self.unit(english, french).then(complement.phrase)
        if preposition == "between":
            similar = self._nouns(noun.uses & {"place", "furniture", "opening"}, but=(noun, *but))
            other = self.rng.choice([noun for noun in similar if "landmark" in noun.uses])
            self.combinations.add((preposition, other.english[0]))
            phrase = phrase.then(self.unit("and", "et"), self.simple(other, adjectives=0).phrase)
        return phrase

    def place(self, of: Iterable[_Noun]) -> _Phrase:
        """A phrase for where `of` is. People (and pronouns) are not placed on a table or in a box."""
        preposition, but = self._pick(_PLACES), tuple(of)
        if all("person" in noun.uses for noun in but) and preposition in ("on", "under", "beneath", "in"):
            but += tuple(noun for noun in NOUNS.values() if noun.uses & {"furniture", "container"})
        return self.prepositional(preposition, but=but)

    def adjunct(self, verb: _Verb, mood: _Mood, nouns: tuple[_Noun, ...], probability: float) -> _Phrase:
        """Something that may follow the verb and its object: where, with or for whom, how, or when."""
        options = sorted(verb.options & {"place", "company", "benefit", "market", "time", "well", "quickly"})
        if mood.auxiliary or mood.adverb:  # these move bien and vite in French, and clash with every day
            options = [option for option in options if option not in ("well", "quickly", "time")]
        if not options or not self._chance(probability):
            return _NOTHING
        option = self.rng.choice(options)
        if option == "place":
            return self.place(of=nouns)
        if option == "market":
            return self.prepositional("at", uses=("public",))
        if option == "company":
            return self.prepositional(self._pick({"with": 3, "without": 1}), but=nouns)
        if option == "benefit":
            return self.prepositional("for", but=nouns)
        if option == "time":
            time = self.rng.choice(["here"] if mood.negation else list(_TIMES))
            return self.time(time)
        return self.unit(option, _ADVERBS[option])

    def time(self, english: str) -> _Phrase:
        return _NOTHING.then(*map(self.unit, english.split(), _TIMES[english].split()))

    # Verbs

    def predicate(
        self,
        agreement: _Agreement,
        verb: _Verb,
        mood: _Mood = _PLAIN,
        question: bool = False,
        pronoun: _Phrase = _NOTHING,
    ) -> _Predicate:
        """The verb in its mood, with an object pronoun, which French puts before the verb it depends on."""
        french, third = agreement.french, agreement.third_singular
        negation = self.unit(mood.negation, _NEGATIONS[mood.negation]) if mood.negation else _NOTHING
        ne, pas = negation.target[:1], negation.target[1:]
        not_words = negation.source
        adverb = self.unit(mood.adverb, _ADVERBS[mood.adverb]) if mood.adverb else _NOTHING

        front: _Words = ()
        lead = infinite = _NOTHING  # the finite verb after the adverb; the infinitive or participle
        base, third_form, participle = verb.english
        if verb.name == "be":
            english = "am" if agreement.french == 0 else "is" if third else "are"
            finite = self.unit(english, verb.french[french])
            front = finite.source
        elif mood.auxiliary in ("can", "must", "have"):
            plain, third_plain, forms = _AUXILIARIES[mood.auxiliary]
            finite = self.unit(third_plain if third else plain, forms.split()[french])
            front = finite.source
            if mood.auxiliary == "can" and mood.negation == "not":  # written as one word
                cannot, not_words = not_words[0], ()
                front = (front[0]._replace(text="cannot", sure=front[0].sure | cannot.sure),)
            if mood.auxiliary == "have":
                infinite = self.unit(participle + verb.particle, verb.participle)
            else:
                infinite = self.unit(base + verb.particle, verb.infinitive)
        else:
            supported = question or mood.negation == "not"
            if mood.auxiliary == "want":
                plain, third_plain, forms = _AUXILIARIES["want"]
                lead = self.unit(third_plain if third and not supported else plain, forms.split()[french])
                infinite = self.unit(f"~to {base}{verb.particle}", verb.infinitive)
            else:
                lead = self.unit(
                    (third_form if third and not supported else base) + verb.particle, verb.french[french]
                )
            finite = lead
            if supported:
                concept = next(self._concepts)
                front = (_Word("does" if third else "do", possible=frozenset({concept})),)
                ne = tuple(word.hint(concept) for word in ne)

        with_infinitive = mood.auxiliary in ("want", "can", "must")
        before_finite, before_infinitive = ((), pronoun.target) if with_infinitive else (pronoun.target, ())
        source = not_words + adverb.source + lead.source + infinite.source + pronoun.source
        target = ne + before_finite + finite.target + pas + adverb.target + before_infinitive + infinite.target
        return _Predicate(front, source, target)

    def object_pronoun_for(self, agreement: _Agreement, indirect: bool, to: str = "") -> _Phrase:
        """An object pronoun other than the subject's own person (that would be reflexive)."""
        choices = [p for p, (*_, person) in _OBJECT_PRONOUNS.items() if person == 3 or person != agreement.person]
        english = self.rng.choice(choices)
        accusative, dative, _ = _OBJECT_PRONOUNS[english]
        return self.unit(f"{to}{english}", dative if indirect else accusative)

    # Clauses

    def transitive(self, question: bool = False, pronouns: float = 0.3) -> _Clause:
        verb = self.rng.choice([v for v in VERBS.values() if v.objects and v.name != "give"])
        mood = self._mood(verb, question)
        subject = self.subject(verb.subjects, bool(mood.negation), pronouns)
        object_ = self.direct_object(verb, bool(mood.negation), but=subject.nouns)
        rest = object_.phrase.then(self.adjunct(verb, mood, subject.nouns + object_.nouns, 0.3))
        return _Clause(subject, self.predicate(subject.agreement, verb, mood, question), rest)

    def intransitive(self, question: bool = False, adjuncts: float = 0.85) -> _Clause:
        verb = VERBS[self.rng.choice(("sleep", "work", "run"))]
        mood = self._mood(verb, question)
        subject = self.subject(verb.subjects, bool(mood.negation))
        rest = self.adjunct(verb, mood, subject.nouns, adjuncts)
        return _Clause(subject, self.predicate(subject.agreement, verb, mood, question), rest)

    def quality(self, adjective: _Adjective, subject: _Nominal, very: bool = True) -> _Phrase:
        self.combinations.update((adjective.english, noun.english[0]) for noun in subject.nouns)
        phrase = self.unit(adjective.english, subject.agreement.adjective(adjective))
        if very and adjective.english not in _COLOURS | {"empty", "new"} and self._chance(0.25):
            phrase = self.unit("very", "très").then(phrase)
        return phrase

    def adjectival(self, question: bool = False, subject: _Nominal | None = None, state: bool = False) -> _Clause:
        """A subject and its quality, or the `state` that a person or an animal is in."""
        uses = ("person", "animal", "thing", "food", "text", "place", "vehicle", "furniture")
        negation = "" if question or state else self._pick({"": 72, "not": 22, "never": 6})
        subject = subject or self.subject(uses, bool(negation), pronouns=0.2, definite=True)
        nouns = subject.nouns or (NOUNS["man"],)
        said = {ADJECTIVES[word].french for word, _ in self.combinations if word in ADJECTIVES}
        fitting = [
            a
            for a in ADJECTIVES.values()
            if not any(a.uses.isdisjoint(noun.uses) for noun in nouns)
            and (a.english in _STATES or not state)
            and a.english not in _ATTRIBUTIVE
            and a.french not in said
        ]
        adjective = self.rng.choice(fitting)
        if adjective.english not in _STATES:
            negation = negation.replace("never", "not")
        adverb = ""
        if adjective.english in _STATES and not negation and self._chance(0.3):
            adverb = self._pick({"often": 1, "always": 1})
        predicate = self.predicate(subject.agreement, VERBS["be"], _Mood(negation, adverb), question)
        return _Clause(subject, predicate, self.quality(adjective, subject, very=not adverb and negation != "never"))

    def locative(self, question: bool = False, subject: _Nominal | None = None) -> _Clause:
        negation = "" if question else self._pick({"": 75, "not": 19, "never": 6})
        uses = ("person", "animal", "thing", "food")
        subject = subject or self.subject(uses, bool(negation), pronouns=0.2, definite=True)
        rest = self.unit("here", "ici") if self._chance(0.08) else self.place(of=subject.nouns)
        return _Clause(subject, self.predicate(subject.agreement, VERBS["be"], _Mood(negation), question), rest)

    # Sentences

    def full_stop(self, phrase: _Phrase) -> _Phrase:
        return phrase.then(self.unit(".", "."))

    def question_mark(self, phrase: _Phrase) -> _Phrase:
        return phrase.then(self.unit("?", "?"))

    def inverted(self, clause: _Clause, opening: _Phrase = _NOTHING) -> _Phrase:
        """A question with `est-ce que`, which stands for the English inversion, after its opening word if any."""
        concept = next(self._concepts)
        moved = tuple(word.hint(concept) for word in clause.predicate.front)
        est_ce_que = tuple(_Word(text, possible=frozenset({concept})) for text in ("est-ce", "que"))
        source = moved + clause.subject.phrase.source + clause.predicate.source
        target = est_ce_que + clause.subject.phrase.target + clause.predicate.target
        return self.question_mark(opening.then(_Phrase(source, target), clause.rest))

    def transitive_statement(self) -> _Phrase:
        return self.full_stop(self.transitive().statement)

    def intransitive_statement(self) -> _Phrase:
        return self.full_stop(self.intransitive().statement)

    def adjective_statement(self) -> _Phrase:
        return self.full_stop(self.adjectival().statement)

    def place_statement(self) -> _Phrase:
        return self.full_stop(self.locative().statement)

    def object_pronoun(self) -> _Phrase:
        """She sees him: elle le voit."""
        verb = VERBS[self.rng.choice(("see", "see", "like", "look for", "search for", "wait for", "speak", "talk"))]
        mood = self._mood(verb)
        if mood.auxiliary == "have":  # the participle would agree with the pronoun
            mood = mood._replace(auxiliary="")
        subject = self.subject(("person",), bool(mood.negation), pronouns=0.4)
        speaking = "addressee" in verb.options
        pronoun = self.object_pronoun_for(subject.agreement, speaking, to="~to " if speaking else "")
        predicate = self.predicate(subject.agreement, verb, mood, pronoun=pronoun)
        rest = self.adjunct(verb, mood, subject.nouns, 0.3)
        return self.full_stop(_Clause(subject, predicate, rest).statement)

    def giving(self) -> _Phrase:
        """Gives the book to the girl, gives her the book, speaks to the girl."""
        verb = VERBS[self._pick({"give": 3, "speak": 1, "talk": 1})]
        mood = self._mood(verb)
        subject = self.subject(("person",), bool(mood.negation))
        pronoun = rest = _NOTHING
        if "addressee" in verb.options:
            rest = self.prepositional("to", ("person",), subject.nouns).then(self.adjunct(verb, mood, (), 0.3))
        else:
            rest = self.direct_object(verb, bool(mood.negation)).phrase
            if mood.auxiliary != "have" and self._chance(0.4):
                pronoun = self.object_pronoun_for(subject.agreement, indirect=True)
            else:
                rest = rest.then(self.prepositional("to", ("person",), subject.nouns))
        predicate = self.predicate(subject.agreement, verb, mood, pronoun=pronoun)
        return self.full_stop(_Clause(subject, predicate, rest).statement)

    def going(self) -> _Phrase:
        verb = VERBS["go"]
        mood = self._mood(verb)
        subject = self.subject(("person",), bool(mood.negation))
        rest = self.prepositional("to", ("goal",))
        if self._chance(0.35):
            rest = rest.then(self.prepositional(self._pick({"with": 2, "without": 1}), but=subject.nouns))
        elif not mood.negation and not mood.adverb and not mood.auxiliary and self._chance(0.4):
            time = self.rng.choice(("every day", "every morning", "every evening", "now"))
            rest = rest.then(self.time(time))
        return self.full_stop(_Clause(subject, self.predicate(subject.agreement, verb, mood), rest).statement)

    def comparison(self) -> _Phrase:
        """The dog is bigger than the cat: plus grand que."""
        adjective = self.rng.choice([a for a in ADJECTIVES.values() if a.comparative != "-"])
        use = self.rng.choice(sorted(adjective.uses))
        subject = self.simple(self._noun((use,)), adjectives=0)
        other = self.simple(self._noun((use,), but=subject.nouns), adjectives=0)
        self.combinations.update((adjective.english, n.english[0]) for n in subject.nouns + other.nouns)
        form = subject.agreement.adjective(adjective)
        if adjective.comparative == "more":
            quality = self.unit("more", "plus").then(self.unit(adjective.english, form))
        else:
            quality = self.unit(adjective.comparative, f"plus {form}")
        negation = "not" if self._chance(0.2) else ""
        predicate = self.predicate(subject.agreement, VERBS["be"], _Mood(negation))
        rest = quality.then(self.unit("than", "que"), other.phrase)
        return self.full_stop(_Clause(subject, predicate, rest).statement)

    def existence(self) -> _Phrase:
        """There is a cat, there is no cat, is there a cat."""
        kind = self.rng.choice(("statement", "statement", "negation", "question"))
        noun = self._noun(("person", "animal", "thing", "food"))
        if kind == "negation":
            thing = self.some_noun_phrase(noun, {"no": 1}, plurals=0.4)
        else:
            thing = self.some_noun_phrase(noun, {"a": 3, "some": 1, "number": 3})
        verb = self.unit(f"~there {'are' if thing.agreement.plural else 'is'}", "~il ~y a")
        there, is_ = verb.source
        il, y, a = verb.target
        rest = thing.phrase.then(self.place(of=(noun,)))
        if kind == "statement":
            return self.full_stop(verb.then(rest))
        if kind == "question":
            concept = next(self._concepts)
            est_ce_que = tuple(_Word(text, possible=frozenset({concept})) for text in ("est-ce", "que"))
            return self.question_mark(_Phrase((is_.hint(concept), there), est_ce_que + verb.target).then(rest))
        # "no" is the sure partner of "pas", and hangs on to "ne" and "de".
        concept = next(self._concepts)
        no = rest.source[0]._replace(sure=frozenset({concept}), possible=rest.source[0].sure)
        ne, pas = _Word("ne", possible=frozenset({concept})), _Word("pas", frozenset({concept}))
        return self.full_stop(_Phrase((there, is_, no, *rest.source[1:]), (il, ne, y, a, pas, *rest.target)))

    def yes_no_question(self) -> _Phrase:
        clauses: list[Callable[..., _Clause]] = [self.transitive, self.intransitive, self.adjectival, self.locative]
        return self.inverted(self.rng.choices(clauses, (4, 2, 2, 3))[0](question=True))

    def where_question(self) -> _Phrase:
        """Where is the cat, where does the cat sleep: in French the subject follows the verb."""
        verb = VERBS[self._pick({"be": 3, "sleep": 1, "work": 1})]
        uses = ("person", "animal", "thing", "food") if verb.name == "be" else verb.subjects
        subject = self.some_noun_phrase(self._noun(uses), {"the": 5, "this": 1, "my": 4, "the number": 1})
        predicate = self.predicate(subject.agreement, verb, question=True)
        where = self.unit("where", "où")
        finite = predicate.target
        if verb.name != "be":
            finite = tuple(word.hint(next(iter(predicate.front[0].possible))) for word in finite)
        source = where.source + predicate.front + subject.phrase.source + predicate.source
        return self.question_mark(_Phrase(source, where.target + finite + subject.phrase.target))

    def who_question(self) -> _Phrase:
        who = _Nominal(self.unit("who", "qui"), _Agreement(3, False))
        kind = self._pick({"transitive": 5, "adjectival": 1, "locative": 3})
        if kind == "adjectival":
            clause = self.adjectival(subject=who)
        elif kind == "locative":
            clause = self.locative(subject=who)
        else:
            verb = self.rng.choice([v for v in VERBS.values() if v.objects and v.name != "give"])
            mood = self._mood(verb)
            rest = self.direct_object(verb, bool(mood.negation)).phrase
            clause = _Clause(who, self.predicate(who.agreement, verb, mood), rest)
        return self.question_mark(clause.statement)

    def what_question(self) -> _Phrase:
        verb = VERBS[
            self.rng.choice(("see", "look for", "search for", "find", "buy", "purchase", "eat", "read", "open"))
        ]
        mood = self._mood(verb, question=True)
        subject = self.subject(verb.subjects)
        rest = self.adjunct(verb, mood, subject.nouns, 0.5)
        clause = _Clause(subject, self.predicate(subject.agreement, verb, mood, question=True), rest)
        return self.inverted(clause, self.unit("what", "que"))

    def why_question(self) -> _Phrase:
        clauses: list[Callable[..., _Clause]] = [self.transitive, self.intransitive, self.adjectival]
        return self.inverted(self.rng.choice(clauses)(question=True), self.unit("why", "pourquoi"))

    def how_many_question(self) -> _Phrase:
        """How many cats are there in the garden: combien de chats y a-t-il."""
        noun = self._noun(("person", "animal", "thing", "food"))
        many = self.unit("how many", "combien ~de")
        things = self.noun_phrase(
            noun, "", plural=True, adjective=self._adjective(noun) if self._chance(0.3) else None
        )
        there = self.unit("are ~there", "~y a-t-il")
        return self.question_mark(many.then(things.phrase, there, self.place(of=(noun,))))

    def relative(self, noun: _Noun) -> _Nominal:
        """The noun with a relative clause: qui for its subject, que for its object."""
        adjective = self._adjective(noun) if self._chance(0.15) else None
        antecedent = self.noun_phrase(noun, "the", self._chance(0.3), adjective)
        acting = [v for v in VERBS.values() if v.objects and v.name != "give" and not v.subjects.isdisjoint(noun.uses)]
        suffering = [v for v in VERBS.values() if v.name != "give" and not v.objects.isdisjoint(noun.uses)]
        if acting and self._chance(0.5):
            link = self.unit("who" if "person" in noun.uses else "that", "qui")
            if self._chance(0.3):
                verb = VERBS[self.rng.choice(("see", "like", "look for"))]
                pronoun = self.object_pronoun_for(antecedent.agreement, indirect=False)
                clause = _Clause(
                    _Nominal(link, antecedent.agreement), self.predicate(antecedent.agreement, verb, pronoun=pronoun)
                )
            else:
                verb = self.rng.choice(acting)
                mood = _Mood("not" if self._chance(0.15) else "")
                object_ = self.direct_object(verb, bool(mood.negation), but=(noun,)).phrase
                predicate = self.predicate(antecedent.agreement, verb, mood)
                clause = _Clause(_Nominal(link, antecedent.agreement), predicate, object_)
            return antecedent._replace(phrase=antecedent.phrase.then(clause.statement))
        verb = self.rng.choice(suffering)
        self.combinations.add((verb.name, noun.english[0]))
        actor = self.personal_pronoun() if self._chance(0.4) else self.simple(self._noun(("person",), but=(noun,)))
        clause = _Clause(actor, self.predicate(actor.agreement, verb))
        link = self.unit("that" if "person" in noun.uses else self.rng.choice(("that", "which")), "que")
        return antecedent._replace(phrase=antecedent.phrase.then(link, clause.statement))

    def relative_subject(self) -> _Phrase:
        subject = self.relative(self._noun(("person", "animal", "thing")))
        clause = self.adjectival(subject=subject) if self._chance(0.6) else self.locative(subject=subject)
        return self.full_stop(clause.statement)

    def relative_object(self) -> _Phrase:
        verb = VERBS[self.rng.choice(("see", "like", "look for", "find", "buy", "purchase"))]
        mood = self._mood(verb)
        subject = self.subject(("person",), bool(mood.negation), pronouns=0.6)
        noun = self._noun(verb.objects & {"person", "animal", "thing", "food", "vehicle"}, but=subject.nouns)
        self.combinations.add((verb.name, noun.english[0]))
        object_ = self.relative(noun)
        return self.full_stop(
            _Clause(subject, self.predicate(subject.agreement, verb, mood), object_.phrase).statement
        )

    def short_clause(self, verb: _Verb, but: Iterable[_Noun] = ()) -> _Clause:
        """A subject and a verb or an adjective, without more."""
        if self._chance(0.3):
            subject = self.personal_pronoun()
        else:
            subject = self.simple(self._noun(verb.subjects, but), adjectives=0)
        if verb.name == "be":
            return self.adjectival(subject=subject)
        return _Clause(subject, self.predicate(subject.agreement, verb, self._mood(verb)))

    def conjunction(self, contrast: bool) -> _Phrase:
        return self.unit(",", ",").then(self.unit("but", "mais")) if contrast else self.unit("and", "et")

    def coordination(self) -> _Phrase:
        verbs = self.rng.sample(("sleep", "work", "run", "be"), 2)
        first = self.short_clause(VERBS[verbs[0]])
        second = self.short_clause(VERBS[verbs[1]], but=first.subject.nouns)
        joined = first.statement.then(self.conjunction(self._chance(0.5)), second.statement)
        return self.full_stop(joined)

    def reason(self) -> _Phrase:
        """The boy is sad because his dog is sick, because he does not have a dog."""
        first = self.adjectival(subject=self.subject(("person",), pronouns=0.35, definite=True), state=True)
        if self._chance(0.5):
            other = self.simple(self._noun(("person", "animal"), but=first.subject.nouns), adjectives=0)
            second = self.adjectival(subject=other, state=True)
        else:
            subject = self.pronoun_for(first.subject)
            verb = VERBS[self.rng.choice(("have", "work", "sleep", "run"))]
            mood = self._mood(verb)
            rest = self.direct_object(verb, bool(mood.negation)).phrase if verb.objects else _NOTHING
            second = _Clause(subject, self.predicate(subject.agreement, verb, mood), rest)
        return self.full_stop(first.statement.then(self.unit("because", "parce que"), second.statement))

    def anaphora(self) -> _Phrase:
        """The woman buys a letter and she reads it: et elle la lit."""
        second = VERBS[self.rng.choice(("open", "read", "eat", "like"))]
        movable = self._nouns(("animal", "thing", "food"))
        noun = self.rng.choice([noun for noun in movable if not noun.uses.isdisjoint(second.objects)])
        firsts = (VERBS[name] for name in ("see", "buy", "purchase", "find", "look for", "have"))
        first = self.rng.choice([verb for verb in firsts if not verb.objects.isdisjoint(noun.uses)])
        self.combinations.update(((first.name, noun.english[0]), (second.name, noun.english[0])))
        subject = self.subject(("person",), pronouns=0.45)
        thing = self.some_noun_phrase(noun, {"the": 3, "a": 3, "this": 1, "my": 1, "number": 1}, adjectives=0.2)
        plural, feminine = thing.agreement.plural, thing.agreement.feminine
        pronoun = self.unit("them" if plural else "it", "les" if plural else "la" if feminine else "le")
        again = self.pronoun_for(subject)
        auxiliary = "" if "stative" in second.options else self._pick({"": 6, "want": 2, "can": 2})
        mood = _Mood(self._pick({"": 7, "not": 3}), auxiliary=auxiliary)
        statement = _Clause(subject, self.predicate(subject.agreement, first), thing.phrase).statement
        comment = _Clause(again, self.predicate(again.agreement, second, mood, pronoun=pronoun)).statement
        return self.full_stop(statement.then(self.conjunction(bool(mood.negation)), comment))

    def cat_on_the_mat(self) -> AlignedPair:
        subject = self.noun_phrase(NOUNS["cat"], "the")
        rest = self.unit("on", "sur").then(self.noun_phrase(NOUNS["mat"], "the").phrase)
        clause = _Clause(subject, self.predicate(subject.agreement, VERBS["be"]), rest)
        return _realise(self.full_stop(clause.statement))


# ---------------------------------------------------------------------------------------------------------------------
# The corpus
# ---------------------------------------------------------------------------------------------------------------------


def _draw_held_out(rng: random.Random) -> frozenset[tuple[str, str]]:
    """A share of the (adjective, noun), (verb, object noun) and (preposition, noun) that the lexicon allows."""
    uses_of: list[dict[str, frozenset[str]]] = [
        {adjective.english: adjective.uses for adjective in ADJECTIVES.values()},
        {verb.name: verb.objects for verb in VERBS.values()},
        # "for" and "to" are left out: "look for the boy" has the words of the combination, not the preposition.
        {name: frozenset(uses.split()) for name, (*_, uses) in _PREPOSITIONS.items() if name not in ("for", "to")},
    ]
    held_out: set[tuple[str, str]] = set()
    for kind in uses_of:
        allowed = [(w, n) for w, uses in kind.items() for n, noun in NOUNS.items() if not uses.isdisjoint(noun.uses)]
        allowed = [combination for combination in allowed if combination != ("on", "mat")]  # the cat's, in `test`
        held_out.update(rng.sample(allowed, round(HELD_OUT_SHARE * len(allowed))))
    return frozenset(held_out)


def generate_corpus(
    seed: int = 0,
    train_size: int = 24000,
    validation_size: int = 500,
    test_size: int = 1000,
    compositional_size: int = 1000,
) -> GrammarCorpus:
    """Generate the built-in corpus; it is deterministic for the same arguments.

    No English and no French sentence occurs twice. `test` always has "The cat is on the mat." Each sentence of
    `test_compositional` has a combination of words (see `GrammarCorpus.held_out`) that occurs in no other split.

    Args:
        seed: random seed.
        train_size, validation_size, test_size, compositional_size: sentence pairs in each split.

    Raises:
        ValueError: if a size is negative, `test_size` is 0, or the grammar has too few sentences for the sizes.
    """
    sizes = (train_size, validation_size, test_size, compositional_size)
    if min(sizes) < 0 or test_size < 1:
        raise ValueError(f"The sizes are {sizes}: none may be negative, and test_size must be at least 1.")
    if sum(sizes) > MAX_PAIRS:
        raise ValueError(f"The grammar gives at most {MAX_PAIRS} pairs, not {sum(sizes)}: lower the sizes.")

    rng = random.Random(seed)
    held_out = _draw_held_out(rng)
    grammar = Grammar(rng)
    cat = grammar.cat_on_the_mat()
    seen_source, seen_target = {cat.source_words}, {cat.target_words}
    familiar: list[AlignedPair] = []
    novel: list[AlignedPair] = []
    familiar_size = train_size + validation_size + test_size - 1
    while len(familiar) < familiar_size or len(novel) < compositional_size:
        pair = grammar.sentence()
        if pair.source_words in seen_source or pair.target_words in seen_target:
            continue
        if grammar.combinations.isdisjoint(held_out):
            chosen, size = familiar, familiar_size
        else:
            chosen, size = novel, compositional_size
        if len(chosen) < size:
            chosen.append(pair)
            seen_source.add(pair.source_words)
            seen_target.add(pair.target_words)
    rng.shuffle(familiar)  # short sentences come first, before they start to repeat
    test = [cat, *familiar[: test_size - 1]]
    validation = familiar[test_size - 1 : test_size - 1 + validation_size]
    train = familiar[test_size - 1 + validation_size :]
    return GrammarCorpus(train, validation, test, novel, held_out)
