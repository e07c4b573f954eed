# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Word alignments measured: their error rate against gold links, and the read-out of a model that has the least."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_attn_seq2seq.data.links import Link, check_links, to_pharaoh
from hf_attn_seq2seq.decoding.alignment import Aligner, Pair, Readout, links_by_readout
from hf_attn_seq2seq.evaluation.gold import GoldLinks


@dataclass(frozen=True)
class AlignmentScores:
    """Scores of one corpus of alignments, as fractions; a low `error_rate` is good.

    `count` is the number of sentences, `predicted` and `sure` the links that the scores were computed from.
    """

    error_rate: float
    precision: float
    recall: float
    predicted: int
    sure: int
    count: int


def alignment_error_rate(
    predicted: Sequence[AbstractSet[Link]],
    sure: Sequence[AbstractSet[Link]],
    possible: Sequence[AbstractSet[Link]],
) -> AlignmentScores:
    """Compares predicted alignments A with sure links S and possible links P, which include S.

    Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section 6, with the counts
    summed over the corpus:

        precision = |A ∩ P| / |A|      recall = |A ∩ S| / |S|      AER = 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|)

    Where nothing was predicted the precision is 0. A reference that does not tell sure links from possible ones is
    given as both.

    Args:
        predicted, sure, possible: one set of links for each sentence, in the same order.

    Raises:
        ValueError: if the three differ in length or are empty, a sure link is not possible, something is not a set of
            links, or no sentence has a sure link.
    """
    if not len(predicted) == len(sure) == len(possible):
        raise ValueError(
            f"there are {len(predicted)} predicted, {len(sure)} sure and {len(possible)} possible sets of links: "
            "give one of each to every sentence."
        )
    if not predicted:
        raise ValueError("there is nothing to score: the corpus is empty.")
    predicted_total = sure_total = predicted_sure = predicted_possible = 0
    for index, (a, s, p) in enumerate(zip(predicted, sure, possible)):
        for name, links in (("predicted", a), ("sure", s), ("possible", p)):
            check_links(f"{name}[{index}]", links)
        if not s <= p:
            raise ValueError(
                f"sure[{index}] has links that are missing from possible[{index}] ({to_pharaoh(s - p)}): "
                "possible links must include the sure ones."
            )
        predicted_total += len(a)
        sure_total += len(s)
        predicted_sure += len(a & s)
        predicted_possible += len(a & p)
    if not sure_total:
        raise ValueError("no sentence has a sure link, so recall is undefined: give a reference with sure links.")
    return AlignmentScores(
        error_rate=1 - (predicted_sure + predicted_possible) / (predicted_total + sure_total),
        precision=predicted_possible / predicted_total if predicted_total else 0.0,
        recall=predicted_sure / sure_total,
        predicted=predicted_total,
        sure=sure_total,
        count=len(predicted),
    )


class ScoredReadout(NamedTuple):
    """A way to read a model's attention, and how right it is."""

    readout: Readout
    scores: AlignmentScores


def score_readouts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    gold: Sequence[GoldLinks],
    *,
    readouts: Sequence[Readout] | None = None,
    batch_size: int = 64,
) -> list[ScoredReadout]:
    """
    The alignment error rate of each way to read a model's attention, the best first.

    To choose by: give it validation pairs, and keep the test's gold out of it.

    Args:
        pairs, gold: Source and target, and their links.
        readouts: What to try; None: `all_readouts`.
    """
    if len(pairs) != len(gold):
        raise ValueError(f"There are {len(pairs)} pairs and gold links for {len(gold)}: give each pair its links.")
    table = links_by_readout(Aligner(model, tokenizer), pairs, readouts, batch_size)
    sure, possible = [links.sure for links in gold], [links.possible for links in gold]
    scored = [ScoredReadout(readout, alignment_error_rate(links, sure, possible)) for readout, links in table.items()]
    return sorted(scored, key=lambda one: one.scores.error_rate)
