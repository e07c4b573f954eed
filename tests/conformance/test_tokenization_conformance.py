# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' own common tokenizer tests and its tests of fast tokenizers, on every kind of tokenizer."""

import shutil
import tempfile
import unittest
from typing import Any
from unittest import mock

from hf_attn_seq2seq.data.tokenizer_training import TokenizerSettings, train_tokenizer, train_tokenizer_for
from hf_attn_seq2seq.tokenization_attn_seq2seq import AttnSeq2SeqTokenizer
from tests.conformance.harness import transformers_tests


common = transformers_tests("test_tokenization_common")

# The common tests look for words that are one token each, and compare the words of these sentences with their tokens.
TEXTS = [
    "This is the first sentence and this is the second one .",
    "Wonderful no inspiration example with subtoken",
    "Along with an awesome pair",
    "one two three four five six seven eight nine ten",
] * 3


class _Conformance(common.TokenizersBackendTesterMixin, common.TokenizerTesterMixin):
    tokenizer_class = AttnSeq2SeqTokenizer
    rust_tokenizer_class = AttnSeq2SeqTokenizer
    settings: dict[str, Any]

    @classmethod
    def setUpClass(cls):
        # In place of the mixins' own, which load a tokenizer by name and a text that the distribution leaves out.
        cls.tmpdirname = tempfile.mkdtemp()
        train_tokenizer(TEXTS, vocab_size=400, **cls.settings).save_pretrained(cls.tmpdirname)
        cls.from_pretrained_id = [cls.tmpdirname]
        cls.tokenizers_list = [(cls.tokenizer_class, cls.tmpdirname, {})]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmpdirname)


def _training_more_tokens():
    train = AttnSeq2SeqTokenizer.train_new_from_iterator

    def train_more(self, texts, vocab_size, **options):
        return train(self, texts, vocab_size + 300, **options)

    return mock.patch.object(AttnSeq2SeqTokenizer, "train_new_from_iterator", train_more)


class WordTokenizerConformanceTest(_Conformance, unittest.TestCase):
    settings = {"kind": "word"}


class WordOrBytesTokenizerConformanceTest(_Conformance, unittest.TestCase):
    settings = {"kind": "word", "byte_fallback": True}


class BpeTokenizerConformanceTest(_Conformance, unittest.TestCase):
    settings = {"kind": "bpe"}


class UnigramTokenizerConformanceTest(_Conformance, unittest.TestCase):
    settings = {"kind": "unigram"}

    # The common tests ask for 100 new tokens. BPE makes as many as there are bytes even so; this trainer refuses.

    def test_training_new_tokenizer(self):
        with _training_more_tokens():
            super().test_training_new_tokenizer()

    def test_training_new_tokenizer_with_special_tokens_change(self):
        with _training_more_tokens():
            super().test_training_new_tokenizer_with_special_tokens_change()


class CharTokenizerConformanceTest(_Conformance, unittest.TestCase):
    settings = {"kind": "char"}


class SymbolTokenizerConformanceTest(_Conformance, unittest.TestCase):
    settings = {"kind": "symbol"}


class TwoVocabulariesConformanceTest(_Conformance, unittest.TestCase):
    """Two vocabularies of the same tokens, so that decoding, which is of targets, makes sense of sources too."""

    settings = {"kind": "bpe"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        settings = TokenizerSettings(**cls.settings, vocab_size=400, shared=False)
        tokenizer = train_tokenizer_for(settings, TEXTS, TEXTS)
        tokenizer.split_special_tokens = False  # Transformers' default, which its tests write special tokens by
        tokenizer.save_pretrained(cls.tmpdirname)
