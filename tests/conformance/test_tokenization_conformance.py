# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Transformers' own common tokenizer tests and its tests of fast tokenizers, on both kinds of tokenizer."""

import shutil
import tempfile
import unittest

from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
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
    kind: str

    @classmethod
    def setUpClass(cls):
        # In place of the mixins' own, which load a tokenizer by name and a text that the distribution leaves out.
        cls.tmpdirname = tempfile.mkdtemp()
        train_tokenizer(TEXTS, kind=cls.kind, vocab_size=400).save_pretrained(cls.tmpdirname)
        cls.from_pretrained_id = [cls.tmpdirname]
        cls.tokenizers_list = [(cls.tokenizer_class, cls.tmpdirname, {})]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmpdirname)


class WordTokenizerConformanceTest(_Conformance, unittest.TestCase):
    kind = "word"


class BpeTokenizerConformanceTest(_Conformance, unittest.TestCase):
    kind = "bpe"
