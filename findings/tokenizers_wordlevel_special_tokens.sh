#!/usr/bin/env bash
# tokenizers 0.23.3: WordLevelTrainer renumbers a special token that also occurs as a word of the training text.
#
# Corpora with `<unk>` in them are common (Penn Treebank, WikiText). Trained on one with special_tokens=["<pad>", "<s>",
# "</s>", "<unk>"], BPE, WordPiece and Unigram give these the ids 0 to 3. WordLevel also counts `<unk>` as a word: it moves
# to another id, and id 3 is left empty. The vocabulary then has holes and is smaller than its largest id: an embedding with
# get_vocab_size() rows raises IndexError (on a GPU, a device-side assertion), and code that takes the order of
# special_tokens as ids (unk_token_id=3, ignore_index=0) refers to tokens that do not exist. There is no message.
#
# Seen: WordLevel {'<pad>': 0, '<s>': 1, '</s>': 6, '<unk>': 4} size 10, largest id 11
#       BPE {'<pad>': 0, '<s>': 1, '</s>': 2, '<unk>': 3} (the same for WordPiece and Unigram)
#
# Workaround: a normalizer that replaces words equal to special tokens before they are counted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tokenizers==0.23.3
"$work/venv/bin/python" - <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

special = ["<pad>", "<s>", "</s>", "<unk>"]
text = ["the <unk> sat on the mat", "a <unk> ran </s>"]
found = {}
for kind, model, trainer, options in (
    ("WordLevel", models.WordLevel, trainers.WordLevelTrainer, {}),
    ("BPE", models.BPE, trainers.BpeTrainer, {}),
    ("WordPiece", models.WordPiece, trainers.WordPieceTrainer, {}),
    ("Unigram", models.Unigram, trainers.UnigramTrainer, {"unk_token": "<unk>"}),
):
    tokenizer = Tokenizer(model() if kind in ("BPE", "Unigram") else model(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(text, trainer(special_tokens=special, show_progress=False, **options))
    vocab = tokenizer.get_vocab()
    found[kind] = [vocab.get(token) for token in special]
    size, largest = tokenizer.get_vocab_size(), max(vocab.values())
    print(kind, dict(zip(special, found[kind])), f"size {size}, largest id {largest}")
    assert (largest >= size) == (kind == "WordLevel"), "the behaviour has changed"
assert [kind for kind, ids in found.items() if ids != [0, 1, 2, 3]] == ["WordLevel"], "the behaviour has changed"
PYTHON
