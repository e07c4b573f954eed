# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training: what is promised of losses, averages, guidance, resuming and several processes."""

import errno
import importlib.util
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import Seq2SeqTrainingArguments, Trainer, TrainerState, set_seed

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.attention import Attention
from hf_attn_seq2seq.data.examples import Examples, augment_case_punctuation, encode, join_pairs, text_examples
from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.data.prepare import PreparedCorpus
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.data.words import WordKind, count_words
from hf_attn_seq2seq.decoding import Readout, agreeing_readouts, load_readout
from hf_attn_seq2seq.decoding.alignment import align_corpus
from hf_attn_seq2seq.decoding.loading import load_aligner
from hf_attn_seq2seq.evaluation import alignment_error_rate, from_pharaoh, to_pharaoh
from hf_attn_seq2seq.training import fit as fit_module
from hf_attn_seq2seq.training import precision
from hf_attn_seq2seq.training import trainer as trainer_module
from hf_attn_seq2seq.training.fit import checkpoints, fit
from hf_attn_seq2seq.training.precision import bfloat16_products
from hf_attn_seq2seq.training.prepare import prepare, with_made_links
from hf_attn_seq2seq.training.recipe import load_recipe
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.training.train import stated_readout
from hf_attn_seq2seq.training.trainer import (
    AverageOfWeights,
    TranslationTrainer,
    alignment_loss,
    divergence_loss,
    is_patience_over,
)
from tests.helpers import tiny_config, usual_mode


CORPUS = generate_corpus(train_size=96, validation_size=12, test_size=1, compositional_size=1)
PAIRS = [(pair.source, pair.target) for pair in CORPUS.train]
TOKENIZER = train_tokenizer([text for pair in PAIRS for text in pair], kind="word", vocab_size=300)
VALIDATION = text_examples(TOKENIZER, [(pair.source, pair.target) for pair in CORPUS.validation])
WITHOUT_BFLOAT16 = r"^training.bf16 is on, but this processor has no .*: leave it out\.$"
SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 16, "samples": 0, "metric": "loss", "warmup_steps": 0}


def new_model(**fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    set_seed(1)
    return AttnSeq2SeqForConditionalGeneration(tiny_config(vocab_size=len(TOKENIZER), **fields))


def train(folder: Path, train: Examples | None = None, resume: bool = False, **settings: Any):
    model = new_model(dropout=0.3)
    model.generation_config.max_new_tokens = 12
    examples = train or text_examples(TOKENIZER, PAIRS)
    return fit(
        model, TOKENIZER, examples, VALIDATION, folder, TrainingSettings(**{**SMALL, **settings}), resume=resume
    )


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_is_that_of_a_token_whatever_the_batches(tmp_path: Path) -> None:
    """One batch of 16 and four of 4 accumulated give the same gradients, so the same weights."""
    options: dict[str, Any] = {"label_smoothing": 0.1, "max_steps": 2}
    ids = list(range(16))

    def run(name: str, **settings: Any) -> dict[str, torch.Tensor]:
        model = new_model()
        examples = text_examples(TOKENIZER, [PAIRS[index] for index in ids])
        fit(
            model,
            TOKENIZER,
            examples,
            VALIDATION,
            tmp_path / name,
            TrainingSettings(**{**SMALL, **options, **settings}),
        )
        return {name: weight.detach() for name, weight in model.named_parameters()}

    whole, parts = run("whole", batch_size=16), run("parts", batch_size=4, gradient_accumulation_steps=4)
    for name, weight in whole.items():
        torch.testing.assert_close(weight, parts[name], rtol=1e-4, atol=1e-6)


def test_label_smoothing_spreads_over_all_tokens(tmp_path: Path) -> None:
    trainer = train(tmp_path, label_smoothing=0.2)
    batch = trainer.data_collator(trainer.train_dataset.select(range(3)).to_list())
    model = trainer.model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    set_seed(0)
    loss = trainer.compute_loss(model, batch)
    set_seed(0)
    logits = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}).logits
    real = batch["labels"] != -100
    log_p = functional.log_softmax(logits[real].float(), -1)
    chosen = log_p.gather(1, batch["labels"][real][:, None]).squeeze(1)
    torch.testing.assert_close(loss, -(0.8 * chosen + 0.2 * log_p.mean(1)).mean())
    model.eval()  # is told without smoothing
    plain = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}).loss
    torch.testing.assert_close(trainer.compute_loss(model, batch), plain)


def test_the_evaluated_loss_is_the_mean_of_all_tokens(tmp_path: Path) -> None:
    trainer = train(tmp_path)
    losses, tokens = 0.0, 0
    for example in VALIDATION.encoded:
        batch = trainer.data_collator([example])
        count = len(example["labels"])
        losses += count * trainer.model.eval()(**batch).loss.item()
        tokens += count
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses / tokens, rel=1e-5)


def test_the_average_of_weights_is_what_the_formula_says() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average = AverageOfWeights(model, decay=0.5)
    for step, value in ((1, 2.0), (2, 3.0), (90, 5.0)):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(model, step)
    first = (2 / 11) * 1 + (9 / 11) * 2
    second = (3 / 12) * first + (9 / 12) * 3
    assert average.weights["weight"].item() == pytest.approx(0.5 * second + 0.5 * 5)
    with average.in_place(model):
        assert model.weight.item() == pytest.approx(0.5 * second + 0.5 * 5)
    assert model.weight.item() == 5


def test_the_average_is_what_is_evaluated_and_kept(tmp_path: Path) -> None:
    train(tmp_path, ema_decay=0.9)
    (checkpoint,) = checkpoints(tmp_path)
    averaged, raw = load_file(checkpoint / "ema.safetensors"), weights_of(checkpoint)
    kept = weights_of(tmp_path)
    name = (
        "model.encoder.embed_tokens.weight"
        if "model.encoder.embed_tokens.weight" in averaged
        else next(iter(averaged))
    )
    assert torch.equal(kept[name], averaged[name])
    assert not torch.equal(kept[name], raw[name])


def test_the_mean_of_checkpoints_is_taken_where_it_measures_better(tmp_path: Path) -> None:
    trainer = train(tmp_path, epochs=3, average_checkpoints=2, learning_rate=0.01)
    summary = json.loads((tmp_path / "training.json").read_text("utf-8"))
    last = checkpoints(tmp_path)[-2:]
    mean = {name: (weight + weights_of(last[1])[name]) / 2 for name, weight in weights_of(last[0]).items()}
    kept = weights_of(tmp_path)
    if summary["weights"].startswith("mean of the last 2"):
        for name, weight in kept.items():
            torch.testing.assert_close(weight, mean[name])
    else:
        assert same(kept, weights_of(Path(trainer.state.best_model_checkpoint)))
    assert summary["value"] == pytest.approx(trainer.evaluate()["eval_loss"])
    assert summary["value"] <= trainer.state.best_metric


def test_guidance_puts_attention_on_the_links(tmp_path: Path) -> None:
    links = [" ".join(f"{i}-{j}" for i, j in sorted(pair.sure)) for pair in CORPUS.train]
    sources, targets = zip(*PAIRS)
    pairs = Dataset.from_dict({"source": sources, "target": targets, "alignment": links})
    examples = Examples(encode(pairs, TOKENIZER, links_of="cut"))

    def mass_on_links(folder: str, **settings: Any) -> float:
        trainer = train(tmp_path / folder, examples, epochs=4, learning_rate=0.02, **settings)
        batch = trainer.data_collator(examples.encoded.select(range(32)).to_list())
        alignment = batch.pop("alignment")
        weights = trainer.model.eval()(**batch, output_attentions=True).cross_attentions[0].mean(1)
        taught = alignment.sum(-1) > 0
        return ((alignment > 0) * weights).sum(-1)[taught].mean().item()

    assert mass_on_links("guided", guided_alignment={"weight": 1.0}) > 1.3 * mass_on_links("plain")


def test_the_alignment_loss_is_the_sum_worked_out_by_hand() -> None:
    weights = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]])
    targets = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]])
    expected = -(0.5 * torch.tensor(0.5).log() + 0.5 * torch.tensor(0.25).log())
    torch.testing.assert_close(alignment_loss(weights, targets), expected)


def test_joined_pairs_keep_every_pair_and_its_links() -> None:
    pairs = Dataset.from_dict(
        {
            "source": [f"a{n} b{n}." for n in range(40)],
            "target": [f"x{n} y{n} z{n}" for n in range(40)],
            "alignment": ["0-0 1-2 2-2"] * 40,
        }
    )
    joined = join_pairs(pairs, 3, seed=0, links_of="cut")
    assert sorted(" ".join(joined["source"]).split(" ")) == sorted(" ".join(pairs["source"]).split(" "))
    counts = {len(text.split()) // 2 for text in joined["source"]}
    assert counts == {1, 2, 3}
    row = next(row for row in joined if len(row["source"].split()) == 4)
    assert row["alignment"] == "0-0 1-2 2-2 3-3 4-5 5-5"
    assert [text[1:] for text in row["source"].split()[::2]] == [text[1:] for text in row["target"].split()[::3]]
    assert join_pairs(pairs, 3, seed=0)["source"] == join_pairs(pairs, 3, seed=0)["source"]
    assert join_pairs(pairs, 3, seed=1)["source"] != joined["source"]


def test_augmented_pairs_lose_punctuation_and_capital_on_both_sides_and_the_links_of_the_punctuation() -> None:
    count = 2500  # more than one batch of the table
    pairs = Dataset.from_dict(
        {"source": ["Why not?"] * count, "target": ["Pourquoi pas ?"] * count, "alignment": ["0-0 1-1 2-2"] * count}
    )
    augmented = augment_case_punctuation(pairs, 0.25, seed=0, links_of="cut")
    rows = Counter((row["source"], row["target"], row["alignment"]) for row in augmented)
    whole, bare = "0-0 1-1 2-2", "0-0 1-1"
    expected = {
        ("Why not?", "Pourquoi pas ?", whole): 0.75 * 0.75,
        ("Why not", "Pourquoi pas", bare): 0.25 * 0.75,
        ("why not?", "pourquoi pas ?", whole): 0.25 * 0.75,
        ("why not", "pourquoi pas", bare): 0.25 * 0.25,
    }
    assert rows.keys() == expected.keys()
    assert all(rows[row] / count == pytest.approx(share, abs=0.04) for row, share in expected.items())
    assert (
        augment_case_punctuation(pairs, 0.25, seed=0)["source"]
        == augmented["source"]
        != augment_case_punctuation(pairs, 0.25, seed=1)["source"]
    )


def test_augmented_sources_have_both_kinds_of_apostrophes_and_targets_the_one_they_had() -> None:
    count = 2500
    pairs = Dataset.from_dict(
        {"source": ["don't"] * count, "target": ["n'oublie"] * count, "alignment": ["0-0"] * count}
    )
    augmented = augment_case_punctuation(pairs, 0.25, seed=0, links_of="cut")
    assert set(augmented["target"]) == {"n'oublie"}
    sources = Counter(augmented["source"])
    assert sources.keys() == {"don't", "don’t"}
    assert sources["don’t"] / count == pytest.approx(0.25, abs=0.04)
    assert set(augmented["alignment"]) == {"0-0"}


@pytest.mark.parametrize(
    ("links_of", "expected"),
    [("cut", '"L’eau, “ici”" dit-il « non'), ("whitespace", "« L’eau, “ici” » dit-il « non")],
)
def test_quotation_marks_become_others_and_words_stay_where_they_are(links_of: WordKind, expected: str) -> None:
    text = '« L\'eau, "ici" » dit-il « non'
    links = to_pharaoh((word, word) for word in range(count_words(text, links_of)))
    pairs = Dataset.from_dict({"source": [text], "target": [text], "alignment": [links]})
    (augmented,) = augment_case_punctuation(pairs, 1.0, seed=0, links_of=links_of)
    assert augmented["source"].lower() == expected.lower()
    assert augmented["target"].lower() == text.lower()
    assert augmented["alignment"] == links


def test_augmentation_leaves_what_has_nothing_to_lose() -> None:
    texts = ["...", "", '"Why not?"', "12 o'clock", "USA wins", "İstanbul", "word\u202f!"]
    pairs = Dataset.from_dict({"source": texts, "target": texts, "alignment": [None] * len(texts)})
    augmented = augment_case_punctuation(pairs, 1.0, seed=0, links_of="whitespace")
    assert augmented["target"] == [*texts[:-1], "word"]
    assert augmented["source"] == ["...", "", "“Why not?”", "12 o’clock", "USA wins", "İstanbul", "word"]
    assert augmented["alignment"] == [""] * len(texts)
    with pytest.raises(ValueError, match=r"share=1\.5"):
        augment_case_punctuation(pairs, 1.5, seed=0)


def test_the_divergence_is_the_one_worked_out_by_hand() -> None:
    """Of two rows: one told 1/4, 3/4 and 1/2, 1/2, and one that is no target."""
    first, second = torch.tensor([0.25, 0.75]).log(), torch.tensor([0.5, 0.5]).log()
    other = torch.tensor([9.0, -9.0])
    logits = torch.stack([torch.stack([first + 3, other]), torch.stack([second - 1, -other])])
    forth = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    back = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    loss = divergence_loss(logits, torch.tensor([[1, -100]]))
    assert loss.item() == pytest.approx((forth + back) / 2, rel=1e-5)


def test_r_drop_asks_two_passes_with_other_dropout_to_agree(tmp_path: Path) -> None:
    """Its gradients are those of the paper's loss, halved, of two passes one after the other."""
    trainer = train(tmp_path, r_drop=3.0, label_smoothing=0.1)
    batch = trainer.data_collator(trainer.train_dataset.select(range(4)).to_list())
    labels, real = batch["labels"], int((batch["labels"] != -100).sum())
    model = trainer.model

    plain = trainer.compute_loss(model.eval(), batch)  # told without a second pass
    trainer.settings = trainer.settings.model_copy(update={"r_drop": 0.0})
    assert torch.equal(trainer.compute_loss(model, batch), plain)
    model = new_model(dropout=0.0).train()
    without = trainer.compute_loss(model, batch)
    trainer.settings = trainer.settings.model_copy(update={"r_drop": 3.0})
    torch.testing.assert_close(trainer.compute_loss(model, batch), without)  # equal passes: no divergence

    model = new_model(dropout=0.3).train()
    set_seed(3)
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    got = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    set_seed(3)
    twice = {name: torch.cat([value, value]) for name, value in batch.items()}
    one, other = model(**twice, output_logits=True).logits.log_softmax(-1).chunk(2)
    nll = [
        functional.cross_entropy(each.flatten(0, 1), labels.flatten(), label_smoothing=0.1) for each in (one, other)
    ]
    kept = labels != -100
    divergence = [
        functional.kl_div(a[kept], b[kept], log_target=True, reduction="sum") for a, b in ((one, other), (other, one))
    ]
    assert divergence[0] > 0.01
    paper = sum(nll) + 3.0 * sum(divergence) / 2 / real
    torch.testing.assert_close(loss, paper / 2)
    (paper / 2).backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(got[name], weight.grad, rtol=1e-4, atol=1e-6)


def test_r_drop_goes_with_guidance_and_own_words(tmp_path: Path) -> None:
    """Both passes are guided, and read the same words."""
    links = [" ".join(f"{i}-{j}" for i, j in sorted(pair.sure)) for pair in CORPUS.train]
    sources, targets = zip(*PAIRS)
    pairs = Dataset.from_dict({"source": sources, "target": targets, "alignment": links})
    examples = Examples(encode(pairs, TOKENIZER, links_of="cut"))
    trainer = train(tmp_path, examples, guided_alignment={"weight": 1.0}, r_drop=3.0, scheduled_sampling=0.9)
    batch = trainer.data_collator(examples.encoded.select(range(4)).to_list())
    trainer.model.eval()  # says the words
    model = new_model(dropout=0.0).train()
    losses = []
    for weight in (3.0, 0.0):
        set_seed(0)
        trainer.settings = trainer.settings.model_copy(update={"r_drop": weight})
        losses.append(trainer.compute_loss(model, batch))
    torch.testing.assert_close(losses[0], losses[1])


def test_guidance_teaches_the_weights_that_dropout_would_take_away(tmp_path: Path) -> None:
    links = [" ".join(f"{i}-{j}" for i, j in sorted(pair.sure)) for pair in CORPUS.train]
    sources, targets = zip(*PAIRS)
    pairs = Dataset.from_dict({"source": sources, "target": targets, "alignment": links})
    examples = Examples(encode(pairs, TOKENIZER, links_of="cut"))
    trainer = train(tmp_path, examples, guided_alignment={"weight": 1.0})
    batch = trainer.data_collator(examples.encoded.select(range(4)).to_list())
    # Its states do not depend on what was looked at, so that dropout cannot change the weights by way of them.
    model = new_model(dropout=0.0, attention_query="current", attention_dropout=0.6).train()

    def guidance() -> torch.Tensor:
        """The loss with all guidance, less the one with none."""
        losses = []
        for weight in (1.0, 0.0):
            guided = trainer.settings.guided_alignment.model_copy(update={"weight": weight})
            trainer.settings = trainer.settings.model_copy(update={"guided_alignment": guided})
            set_seed(0)
            losses.append(trainer.compute_loss(model, batch))
        return losses[0] - losses[1]

    with_dropout = guidance()
    for module in model.modules():
        if isinstance(module, Attention):
            module.dropout = 0.0
    torch.testing.assert_close(with_dropout, guidance(), rtol=1e-4, atol=1e-5)


def test_scheduled_sampling_reads_own_words_ever_more_often(tmp_path: Path) -> None:
    trainer = train(tmp_path, scheduled_sampling=0.9)
    batch = trainer.data_collator(trainer.train_dataset.select(range(8)).to_list())
    labels = batch.pop("labels")
    given = trainer.model.prepare_decoder_input_ids_from_labels(labels)
    shares = []
    for step in (0, trainer.state.max_steps):
        trainer.state.global_step = step
        mixed = trainer._with_own_words(batch, given, labels)
        assert torch.equal(mixed[:, 0], given[:, 0])  # the start token stays
        shares.append(float((mixed != given).float().mean()))
        padding = torch.cat([torch.zeros(8, 1, dtype=torch.bool), labels[:, :-1] == -100], 1)
        assert torch.equal(mixed[padding], given[padding])
    assert shares[0] == 0
    assert shares[1] > 0.3


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_trains_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    """Products of training steps alone are in bfloat16, where the processor has it, and are exact again afterwards."""
    for module in (fit_module, trainer_module):
        monkeypatch.setattr(module, "has_bfloat16", lambda: has)
    found: dict[str, set[str]] = {"step": set(), "evaluate": set()}

    def noted(name: str, method: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            found[name].add(torch.get_float32_matmul_precision())
            return method(*arguments, **options)

        return call

    monkeypatch.setattr(Trainer, "training_step", noted("step", Trainer.training_step))
    monkeypatch.setattr(TranslationTrainer, "evaluate", noted("evaluate", TranslationTrainer.evaluate))
    expected = nullcontext() if has else pytest.warns(UserWarning, match=WITHOUT_BFLOAT16)
    with expected:
        trainer = train(tmp_path, bf16=True, scheduled_sampling=0.5)
    assert found == {"step": {"medium" if has else "highest"}, "evaluate": {"highest"}}
    assert torch.get_float32_matmul_precision() == "highest"
    assert trainer.args.optim == "adamw_torch_fused"
    assert trainer.state.best_metric > 0
    assert all(weight.dtype == torch.float32 for weight in trainer.model.parameters())


@pytest.mark.skipif(
    not getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)(), reason="this processor has no such products"
)
def test_products_in_bfloat16_are_near_the_exact_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(64, 64, generator=generator) for _ in range(2))
    with bfloat16_products():
        near = one @ other
    rounded = one.bfloat16().double() @ other.bfloat16().double()
    assert not torch.equal(near, one @ other)
    assert torch.allclose(near.double(), rounded, atol=1e-4)


@pytest.mark.parametrize(
    ("machine", "instructions", "has"),
    [("x86_64", "", False), ("x86_64", "amx_tile", True), ("AMD64", "avx512_bf16", True), ("arm64", "", True)],
)
def test_which_processors_have_bfloat16(
    monkeypatch: pytest.MonkeyPatch, machine: str, instructions: str, has: bool
) -> None:
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name == instructions, raising=False)
    assert precision.has_bfloat16() is has


def test_plateau_lowers_the_rate_and_patience_ends_the_run(tmp_path: Path) -> None:
    trainer = train(
        tmp_path, epochs=30, learning_rate=1e-6, schedule="plateau", plateau_factor=0.1, patience=3, metric="bleu"
    )
    assert trainer.state.epoch < 30
    rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert trainer.lr_scheduler.get_last_lr()[0] < 0.5e-6
    assert rates


def test_trackers_get_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    train(tmp_path / "run", epochs=4, metric="chrf", report_to=["tensorboard"])
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert {"eval/loss", "eval/chrf", "train/loss", "train/learning_rate"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("eval/chrf")) == 4


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    model = new_model()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match=r"The loss is nan at step 1: lower training.learning_rate"):
        fit(model, TOKENIZER, text_examples(TOKENIZER, PAIRS), VALIDATION, tmp_path, TrainingSettings(**SMALL))


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    write = trainer_module.save_file

    def full(weights: dict[str, torch.Tensor], path: Path) -> None:
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        write(weights, path)

    monkeypatch.setattr(trainer_module, "save_file", full)
    said = r"checkpoint-12' \(No space left on device\): make room, and continue with --resume"
    with pytest.raises(OSError, match=said):
        train(tmp_path, epochs=3, ema_decay=0.9)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-6"]
    monkeypatch.undo()
    train(tmp_path, epochs=3, ema_decay=0.9, resume=True)
    whole = tmp_path / "whole"
    train(whole, epochs=3, ema_decay=0.9)
    assert same(weights_of(tmp_path), weights_of(whole))


def test_one_of_several_processes_on_a_cpu_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate numbers the CPU for each of them: `cpu:0`, which safetensors does not know."""
    train(tmp_path, epochs=1, ema_decay=0.9)
    shutil.copytree(tmp_path, tmp_path / "other")
    train(tmp_path, epochs=2, ema_decay=0.9, resume=True)
    device = Seq2SeqTrainingArguments.device.fget
    monkeypatch.setattr(Seq2SeqTrainingArguments, "device", property(lambda self: torch.device(device(self).type, 0)))
    train(tmp_path / "other", epochs=2, ema_decay=0.9, resume=True)
    assert same(weights_of(tmp_path), weights_of(tmp_path / "other"))


def test_a_full_disk_at_the_end_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, folder: str | None = None, _internal_call: bool = False) -> None:
        if not _internal_call:
            raise SafetensorError("I/O error: No space left on device")
        save(self, folder, _internal_call)

    save = trainer_module.TranslationTrainer.save_model
    monkeypatch.setattr(trainer_module.TranslationTrainer, "save_model", full)
    with pytest.raises(OSError, match=r"Cannot write .*device\): make room, and continue with --resume"):
        train(tmp_path)
    monkeypatch.undo()
    train(tmp_path, resume=True)
    assert (tmp_path / "model.safetensors").exists()


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    newest = checkpoints(tmp_path)[-1]
    state = newest / "trainer_state.json"
    state.write_text(state.read_text("utf-8")[:100], "utf-8")
    assert newest not in checkpoints(tmp_path)
    assert checkpoints(tmp_path)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two checkpoints with averaged weights, that has more steps to take."""
    folder = tmp_path_factory.mktemp("averaged")
    train(folder, epochs=2, ema_decay=0.9)
    return folder


def test_every_file_of_a_checkpoint_is_as_readable_as_the_umask_says(averaged: Path) -> None:
    files = [path for checkpoint in checkpoints(averaged) for path in checkpoint.iterdir()]
    assert {path.name for path in files} >= {"ema.safetensors", "model.safetensors", "optimizer.pt"}
    assert {path.stat().st_mode & 0o777 for path in files} == {usual_mode()}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


def lack_one(path: Path) -> None:
    weights = load_file(path)
    weights.pop(next(name for name in weights if "bridge" in name))
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "file"),
    [
        *((cut, file) for file in ("model.safetensors", "ema.safetensors", "optimizer.pt", "rng_state.pth")),
        *((lack_one, file) for file in ("model.safetensors", "ema.safetensors")),
        (Path.unlink, "ema.safetensors"),
    ],
)
@pytest.mark.costly
def test_a_damaged_checkpoint_is_named_and_the_advice_works(
    spoil: Callable[[Path], None], file: str, averaged: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(averaged, tmp_path / "run"))
    older, newest = checkpoints(folder)
    spoil(newest / file)
    with pytest.raises(ValueError, match=rf"The checkpoint '.*{newest.name}' is damaged \(.*: remove it") as raised:
        train(folder, epochs=3, ema_decay=0.9, resume=True)
    assert "\n" not in str(raised.value)
    if spoil is lack_one:
        assert "bridge" in str(raised.value)
    shutil.rmtree(newest)
    assert train(folder, epochs=3, ema_decay=0.9, resume=True).state.global_step == 3 * 6
    assert older.name != newest.name


def test_a_damaged_best_checkpoint_is_named(averaged: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(averaged, tmp_path / "run"))
    newest = checkpoints(folder)[-1]
    best = folder / Path(TrainerState.load_from_json(str(newest / "trainer_state.json")).best_model_checkpoint).name
    lack_one(best / "ema.safetensors")
    with pytest.raises(ValueError, match=rf"{best.name}' is damaged \(.* is missing\)"):
        train(folder, epochs=2, ema_decay=0.9, resume=True)


def test_what_a_killed_run_had_begun_to_write_is_removed(averaged: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(averaged, tmp_path / "run"))
    (folder / "checkpoint-99").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "checkpoint-99")
    (folder / ".tmpAb12Cd").write_bytes(bytes(100))
    (folder / ".tmp").write_bytes(bytes(100))  # somebody's own
    train(folder, epochs=3, ema_decay=0.9, resume=True)
    assert [checkpoint.name for checkpoint in checkpoints(folder)] == sorted(
        path.name for path in folder.glob("checkpoint-*")
    )
    assert [path.name for path in folder.glob(".tmp*")] == [".tmp"]


@pytest.mark.parametrize("content", ["[]", "{}", '{"global_step": 1}'])
def test_a_checkpoint_of_another_state_is_passed_over(content: str, averaged: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(averaged, tmp_path / "run"))
    older, newest = checkpoints(folder)
    (newest / "trainer_state.json").write_text(content)
    assert checkpoints(folder) == [older]


@pytest.fixture(scope="module")
def tsv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS), "utf-8")
    return path


def command(tsv: Path, output: Path, *more: str) -> list[str]:
    return [
        f"data.train.file={tsv}",
        "data.validation_size=10",
        "tokenizer.vocab_size=300",
        f"output={output}",
        "model.hidden_size=16",
        "model.dropout=0.3",
        "training.batch_size=8",
        "training.max_steps=40",
        "training.evaluate_every=5",
        "training.metric=loss",
        "training.samples=0",
        *more,
    ]


def test_a_run_killed_at_a_random_step_ends_with_the_same_weights(tsv: Path, tmp_path: Path) -> None:
    """With all that is random in training: dropout, the order, drawn subwords, scheduled sampling."""
    from hf_attn_seq2seq.training.train import main

    more = ["tokenizer.sampling=0.2", "training.scheduled_sampling=0.3", "training.ema_decay=0.9", "training.r_drop=1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    main(command(tsv, whole, *more))
    process = subprocess.Popen(
        [sys.executable, "-m", "hf_attn_seq2seq.training.train", *command(tsv, killed, *more)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seed = random.randrange(10**6)
    print(f"seed of the kill: {seed}")  # shown where the test fails
    chance = random.Random(seed)
    at_least = chance.randrange(5, 35, 5)
    while not (killed / f"checkpoint-{at_least}").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "training.json").exists()
    main([*command(tsv, killed, *more), "--resume"])
    torch.set_num_threads(threads)
    assert same(weights_of(killed), weights_of(whole))


def test_two_processes_give_the_losses_of_one(tsv: Path, tmp_path: Path) -> None:
    """Two processes of a batch each are one process that accumulates two."""
    from hf_attn_seq2seq.training.train import main

    more = ["model.dropout=0", "training.max_steps=6", "training.evaluate_every=3", "training.metric=bleu"]
    main(command(tsv, tmp_path / "one", *more, "training.gradient_accumulation_steps=2"))
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
            *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
            *("-m", "hf_attn_seq2seq.training.train", *command(tsv, tmp_path / "two", *more)),
        ],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[:2000]
    histories = []
    for name in ("one", "two"):
        state = json.loads((tmp_path / name / "trainer_state.json").read_text("utf-8"))
        histories.append([entry for entry in state["log_history"] if "eval_loss" in entry])
    assert [entry["step"] for entry in histories[0]] == [3, 6]
    for one, two in zip(*histories):
        assert two["eval_loss"] == pytest.approx(one["eval_loss"], rel=1e-5)
        assert two["eval_bleu"] == pytest.approx(one["eval_bleu"], rel=1e-3)
    for name, weight in weights_of(tmp_path / "one").items():
        torch.testing.assert_close(weight, weights_of(tmp_path / "two")[name], rtol=1e-3, atol=1e-4)


def test_a_first_pass_makes_the_links_that_guide(tsv: Path, tmp_path: Path) -> None:
    from hf_attn_seq2seq.training.train import main

    more = ["training.guided_alignment.links=first_pass", "training.guided_alignment.first_pass_epochs=1"]
    main(command(tsv, tmp_path / "run", *more, "training.max_steps=5", "training.join_pairs=2"))
    links = (tmp_path / "run" / "first-pass-links.txt").read_text("utf-8").splitlines()
    assert len(links) == len(PAIRS) - 10
    assert (tmp_path / "run" / "first-pass" / "model.safetensors").exists()
    assert not same(weights_of(tmp_path / "run"), weights_of(tmp_path / "run" / "first-pass"))
    assert load_readout(tmp_path / "run") == Readout(layer=-1, head=None, shift=0)  # what was taught is what is read


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (["training.guided_alignment={layer: 2, head: 0, shift: 1}"], Readout(2, 0, 1)),
        (
            [
                "training.guided_alignment={layer: 2, head: 0, shift: 1}",
                "evaluation.alignment.readout={layer: 2, head: 0, shift: 1, threshold: 0.5}",
            ],
            Readout(2, 0, 1, threshold=0.5),
        ),
        (["evaluation.alignment.readout={end_token: excluded}"], Readout(end_token="excluded")),
        ([], None),
    ],
)
def test_what_a_recipe_says_of_reading_attention_is_kept(fields: list[str], kept: Readout | None) -> None:
    assert stated_readout(load_recipe(None, fields)) == kept


def test_a_recipe_reads_as_it_is_measured(tsv: Path, tmp_path: Path) -> None:
    from hf_attn_seq2seq.training.train import main

    more = ["training.max_steps=2", "evaluation.alignment.readout={shift: 1, threshold: 0.5}"]
    main(command(tsv, tmp_path / "run", *more))
    assert load_readout(tmp_path / "run") == Readout(shift=1, threshold=0.5)


def test_recipes_that_are_documented_keep_their_threshold() -> None:
    """The model card's 26.2 % is that of links of half the attention or more."""
    recipe = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "tatoeba_en_fr_guided.yaml")
    guided = recipe.training.guided_alignment
    assert stated_readout(recipe) == Readout(guided.layer, guided.head, guided.shift, threshold=0.5)


def test_eflomal_makes_links_once(tsv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_attn_seq2seq.training.train import main

    pytest.importorskip("eflomal", reason="of the extra align, which needs a C compiler")
    more = ["training.guided_alignment.links=eflomal", "training.case_punctuation_augmentation=0.2"]
    more += ["training.copied_words_augmentation=0.2", "training.phrase_pairs_augmentation=0.5"]
    main(command(tsv, tmp_path / "run", *more, "training.max_steps=5", "training.join_pairs=2"))
    path = tmp_path / "run" / "eflomal-links.txt"
    made = [from_pharaoh(line) for line in path.read_text("utf-8").splitlines()]
    train = PreparedCorpus.load(tmp_path / "run" / "corpus").train
    gold = {pair.source: pair.sure for pair in CORPUS.train}
    sure = [gold[source] for source in train["source"]]
    assert alignment_error_rate(made, sure, sure).error_rate < 0.2
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml")
    monkeypatch.setattr("eflomal.Aligner.align", None)  # must not be asked again
    assert with_made_links(recipe, prepare(recipe))["alignment"] == path.read_text("utf-8").splitlines()


def test_a_recipe_with_eflomal_is_refused_where_it_is_missing(
    tsv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hf_attn_seq2seq.training.train import main

    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "eflomal" else find(name, *more)
    )
    with pytest.raises(SystemExit):
        main(command(tsv, tmp_path / "run", "training.guided_alignment.links=eflomal"))
    assert "pip install 'hf_attn_seq2seq[align]'" in capsys.readouterr().err
    assert not (tmp_path / "run" / "corpus").exists()


def test_a_first_pass_is_read_where_it_agrees_with_the_other_direction(tsv: Path, tmp_path: Path) -> None:
    from hf_attn_seq2seq.training.train import main

    swapped = ["data.train.0.source=1", "data.train.0.target=0", "training.max_steps=5"]
    main(command(tsv, tmp_path / "reverse", *swapped))
    more = ["training.guided_alignment.links=first_pass", "training.guided_alignment.first_pass_epochs=1"]
    more.append(f"training.guided_alignment.reverse_model={tmp_path / 'reverse'}")
    main(command(tsv, tmp_path / "run", *more, "training.max_steps=5"))
    corpus = PreparedCorpus.load(tmp_path / "run" / "corpus")
    forward, backward = load_aligner(tmp_path / "run" / "first-pass"), load_aligner(tmp_path / "reverse")
    best = agreeing_readouts(forward, backward, list(zip(corpus.validation["source"], corpus.validation["target"])))
    pairs = zip(corpus.train["source"], corpus.train["target"])
    aligned = align_corpus(
        pairs, forward._replace(readout=best.forward), backward._replace(readout=best.backward), method="grow-diag"
    )
    links = (tmp_path / "run" / "first-pass-links.txt").read_text("utf-8").splitlines()
    assert links == [to_pharaoh(alignment.links) for alignment in aligned]


def test_a_run_killed_in_its_first_pass_goes_on_there(
    tsv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hf_attn_seq2seq.training import train as train_module

    more = ["training.guided_alignment.links=first_pass", "training.guided_alignment.first_pass_epochs=1"]
    arguments = command(tsv, tmp_path / "run", *more, "training.max_steps=5")

    def killed(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    train_model = train_module.train_model
    monkeypatch.setattr(
        train_module, "train_model", lambda *given, **options: (train_model(*given, **options), killed())
    )
    with pytest.raises(SystemExit):
        train_module.main(arguments)
    monkeypatch.undo()
    first = weights_of(tmp_path / "run" / "first-pass")
    (tmp_path / "run" / "first-pass" / "training.json").unlink()  # as if killed before its end
    train_module.main([*arguments, "--resume"])
    assert same(weights_of(tmp_path / "run" / "first-pass"), first)
    assert (tmp_path / "run" / "first-pass-links.txt").exists()
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_patience_counts_what_an_older_run_called_wer() -> None:
    settings = TrainingSettings(metric="sequence_error_rate", patience=2)
    log = [{"eval_wer": 40.0}, {"loss": 1.0}, {"eval_wer": 41.0}, {"eval_sequence_error_rate": 42.0}]
    assert is_patience_over(settings, TrainerState(log_history=log))
    assert not is_patience_over(settings, TrainerState(log_history=log[:3]))


def test_the_checkpoint_is_chosen_by_the_bleu_of_the_target_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chinese is written without spaces: over 13a tokens, every checkpoint whose sentences are not whole scores 0."""
    said = iter(["猫在睡觉", "猫在垫子上睡觉", "狗在跑步吗"])  # at each evaluation, of every sentence
    monkeypatch.setattr(TranslationTrainer, "_translate_in_shards", lambda self, sources: [next(said)] * len(sources))
    texts = text_examples(TOKENIZER, [(pair.source, "猫在垫子上睡觉呢") for pair in CORPUS.validation])
    trainer = fit(
        new_model(),
        TOKENIZER,
        text_examples(TOKENIZER, PAIRS),
        texts,
        tmp_path,
        TrainingSettings(**{**SMALL, "metric": "bleu", "epochs": 3}),
        language="zh",
    )
    scores = [entry["eval_bleu"] for entry in trainer.state.log_history if "eval_bleu" in entry]
    # All n-grams of 7 characters are right, and the reference has 8: the brevity penalty alone is left.
    assert scores[1] == pytest.approx(100 * math.exp(1 - 8 / 7))
    assert scores[1] > scores[0] > scores[2]
    assert trainer.state.best_global_step == 2 * len(PAIRS) // 16


def test_patience_counts_what_was_evaluated_before_a_kill(tmp_path: Path) -> None:
    options: dict[str, Any] = {"learning_rate": 1e-9, "metric": "bleu", "patience": 4}
    whole = train(tmp_path / "whole", epochs=20, **options)
    train(tmp_path / "killed", epochs=3, **options)
    resumed = train(tmp_path / "killed", epochs=20, resume=True, **options)
    assert whole.state.epoch == resumed.state.epoch == 5
    # Killed after its last step: there is nothing left to train.
    kept = weights_of(tmp_path / "killed")
    (tmp_path / "killed" / "model.safetensors").unlink()
    again = train(tmp_path / "killed", epochs=20, resume=True, **options)
    assert again.state.epoch == 5
    assert same(weights_of(tmp_path / "killed"), kept)


@pytest.mark.parametrize(
    "options",
    [
        {"max_steps": 6, "evaluate_every": 3, "schedule": "constant"},
        {"epochs": 0.5, "evaluate_every": 1, "ema_decay": 0.9},
        {"epochs": 2, "evaluate_every": 4, "gradient_accumulation_steps": 4, "average_checkpoints": 2},
    ],
)
def test_a_run_killed_between_its_last_checkpoint_and_its_end_takes_no_further_step(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    whole = train(tmp_path / "run", **options)
    kept = weights_of(tmp_path / "run")
    for name in ("model.safetensors", "training.json", "config.json", "trainer_state.json"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run").rename(tmp_path / "moved")
    again = train(tmp_path / "moved", resume=True, **options)
    assert again.state.global_step == whole.state.global_step
    assert checkpoints(tmp_path / "moved")[-1].name == f"checkpoint-{whole.state.global_step}"
    assert same(weights_of(tmp_path / "moved"), kept)
