# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
How many of 120 common words a model of English and French translates when they stand alone, as people try one.

    python benchmarks/single_words.py MODEL [MODEL ...]

Each word is given small ("dog"), with a capital ("Dog") and as a sentence ("Dog."). A translation is right if it is
one of those listed, whatever its capitals, final signs and article. Which way, the model's tokenizer says. The list
was written before any model was given it.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import regex


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package, installed or not

from benchmarks.rounds import table
from hf_attn_seq2seq.decoding import translate
from hf_attn_seq2seq.decoding.loading import load
from hf_attn_seq2seq.splitting import source_language


# English, of which any is right, and French, likewise.
WORDS = """
hello, hi: bonjour, salut, allô
goodbye, bye: au revoir, adieu
yes: oui
no: non
please: s'il vous plaît, s'il te plaît, je vous prie, je vous en prie, veuillez
thanks, thank you: merci
sorry: désolé, désolée, pardon
welcome: bienvenue, bienvenu
today: aujourd'hui
tomorrow: demain
yesterday: hier
now: maintenant
never: jamais
always: toujours
here: ici
there: là, là-bas
why: pourquoi
when: quand
where: où
who: qui
dog: chien
cat: chat, chatte
horse: cheval
bird: oiseau
fish: poisson
tree: arbre
flower: fleur
water: eau
fire: feu
earth: terre
sun: soleil
moon: lune
star: étoile
sky: ciel
sea: mer
river: rivière, fleuve
mountain: montagne
rain: pluie
snow: neige
wind: vent
house, home: maison
door: porte
window: fenêtre
table: table
chair: chaise
bed: lit
kitchen: cuisine
garden: jardin
street: rue
city, town: ville
village: village
school: école
church: église
hospital: hôpital
station: gare, station
train: train
car: voiture, auto
boat, ship: bateau, navire
book: livre
letter: lettre
word: mot, parole
name: nom
money: argent
work: travail, travaille, travailler
king: roi
queen: reine
man: homme
woman: femme
child: enfant
boy: garçon
girl: fille
mother: mère
father: père
brother: frère
sister: sœur
friend: ami, amie
hand: main
head: tête
heart: cœur
eye: œil
nose: nez
mouth: bouche
bread: pain
milk: lait
cheese: fromage
apple: pomme
egg: œuf
meat: viande
wine: vin
coffee: café
tea: thé
red: rouge
green: vert, verte, verts, vertes
blue: bleu, bleue, bleus, bleues
white: blanc, blanche, blancs, blanches
black: noir, noire, noirs, noires
big, large: grand, grande, gros, grosse
small, little: petit, petite, peu
old: vieux, vieille, vieil, âgé
young: jeune
new: nouveau, nouvelle, neuf, neuve
good: bon, bonne, bien
bad: mauvais, mauvaise, mal
beautiful: beau, belle, magnifique
happy: heureux, heureuse, content, contente
sad: triste
one: un, une
two: deux
three: trois
ten: dix
hundred: cent, centaine
Monday: lundi
Sunday: dimanche
January: janvier
summer: été
winter: hiver
morning: matin, matinée
night: nuit, soir
language: langue, langage
music: musique
"""
_AROUND = regex.compile(r"^[\s«\"“]*(?:(?:le|la|les|un|une|des|du|the|an?|to)\s+|l')?|[\s.,!?…»\"”]*$")


def listed(source: str) -> dict[str, frozenset[str]]:
    """The words of a language, "en" or "fr", and the translations of each that are right: one entry a line."""
    lines = [line.partition(": ") for line in WORDS.strip().splitlines()]
    pairs = [(english.split(", "), french.split(", ")) for english, _, french in lines]
    if source != "en":
        pairs = [(french, english) for english, french in pairs]
    return {own[0]: frozenset(map(bare, other)) for own, other in pairs}


def bare(text: str) -> str:
    """A translation in lower case, without article and final signs."""
    return _AROUND.sub("", text.lower().replace("’", "'").replace("œ", "oe"))


def right(words: Mapping[str, frozenset[str]], translations: Iterable[str]) -> list[str]:
    """Those of the words whose translation is listed."""
    return [word for (word, good), text in zip(words.items(), translations, strict=True) if bare(text) in good]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--show", action="store_true", help="list what is wrong")
    parser.add_argument("--quick", action="store_true", help="a trial with ten words")
    options = parser.parse_args(arguments)
    rows = []
    for name in options.models:
        model, tokenizer = load(name)
        words = dict(list(listed(source_language(tokenizer)).items())[: 10 if options.quick else None])
        capitals = [word[0].upper() + word[1:] for word in words]
        forms = {"small": list(words), "with a capital": capitals, "as a sentence": [f"{word}." for word in capitals]}
        for form, texts in forms.items():
            translations = translate(model, tokenizer, texts)
            good = right(words, translations)
            rows.append([name, form, f"{len(good)} of {len(words)}"])
            if options.show:
                given = zip(words, texts, translations)
                wrong = "; ".join(f"{text} {translation}" for word, text, translation in given if word not in good)
                print(f"{name}, {form}: {wrong}")
    print(table(["model", "words", "right"], rows))


if __name__ == "__main__":
    main()
