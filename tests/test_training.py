# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Training as users do it: Trainer and Seq2SeqTrainer, accumulation, checkpointing, bf16, resuming, two processes."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.configuration_attn_seq2seq import DECODER_MIXERS, STACK_TYPES
from hf_attn_seq2seq.recurrent import RecurrentDecoderSteps, RecurrentEncoderLayer
from hf_attn_seq2seq.transformer import TransformerDecoderLayer, TransformerEncoderLayer
from tests.helpers import END, FAMILIES, STACK_PAIRS, families, tiny_config, tiny_model


ROOT = Path(__file__).parents[1]

CHECKPOINTED = (RecurrentEncoderLayer, RecurrentDecoderSteps, TransformerEncoderLayer, TransformerDecoderLayer)


def make(family: str, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    return tiny_model(scale=0.4, **{**FAMILIES[family], **fields})


def reversed_sentences(
    count: int, longest: int = 6, vocab_size: int = 20, seed: int = 0
) -> list[dict[str, list[int]]]:
    """Random sentences of different lengths, and the same reversed."""
    generator = torch.Generator().manual_seed(seed)
    examples = []
    for _ in range(count):
        length = int(torch.randint(1, longest + 1, (1,), generator=generator))
        words = torch.randint(3, vocab_size, (length,), generator=generator).tolist()
        examples.append(
            {"input_ids": [*words, END], "attention_mask": [1] * (length + 1), "labels": [*words[::-1], END]}
        )
    return examples


def number_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{number}": number for number in range(3, 20)}}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def make_trainer(
    model: AttnSeq2SeqForConditionalGeneration, folder: Path, seq2seq: bool = True, count: int = 64, **arguments: Any
) -> Trainer:
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "optim": "sgd",
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "seed": 3,
    }
    tokenizer = number_tokenizer()
    trainer_class, arguments_class = (
        (Seq2SeqTrainer, Seq2SeqTrainingArguments) if seq2seq else (Trainer, TrainingArguments)
    )
    return trainer_class(
        model=model,
        args=arguments_class(**{**common, **arguments}),
        train_dataset=reversed_sentences(count),
        eval_dataset=reversed_sentences(8, seed=1),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        processing_class=tokenizer,
    )


def losses(trainer: Trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().float().flatten() for parameter in model.parameters()])


@pytest.mark.costly
@families
@pytest.mark.parametrize("seq2seq", [False, True], ids=["Trainer", "Seq2SeqTrainer"])
def test_gradient_accumulation_changes_nothing(family: str, seq2seq: bool, tmp_path: Path) -> None:
    runs = []
    for batch, accumulated in ((32, 1), (8, 4), (4, 8)):
        model = make(family)
        trainer = make_trainer(
            model,
            tmp_path,
            seq2seq,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulated,
            max_steps=2,
        )
        start = weights(model)
        trainer.train()
        assert len(losses(trainer)) == 2
        assert (weights(model) - start).abs().max() > 1e-2
        runs.append((torch.tensor(losses(trainer)), weights(model)))
    for loss, after in runs[1:]:
        torch.testing.assert_close(loss, runs[0][0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(after, runs[0][1], rtol=1e-4, atol=1e-5)


class Gradients(TrainerCallback):
    """Keeps the gradient that the first step is made by."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.first = {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.costly
@families
@pytest.mark.parametrize(("batch", "accumulated"), [(16, 4), (8, 8)])
def test_the_accumulated_gradient_is_that_of_the_large_batch(
    family: str, batch: int, accumulated: int, tmp_path: Path
) -> None:
    """Not a multiple of it, as where a model leaves out how many targets the whole step has."""
    model = make(family)
    examples = reversed_sentences(64)  # of unlike length, so that a mean of means would be another gradient
    large = DataCollatorForSeq2Seq(number_tokenizer(), model=model)(examples)
    logits = model.train()(**{name: large[name] for name in ("input_ids", "attention_mask", "labels")}).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), large["labels"].flatten())
    parameters = dict(model.named_parameters())
    expected = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()))))
    gradients = Gradients()
    trainer = make_trainer(
        model,
        tmp_path,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulated,
        max_steps=1,
        max_grad_norm=0.0,  # clipped to one norm, any multiple would look alike
    )
    trainer.add_callback(gradients)
    trainer.train()
    ratio = sum(g.square().sum() for g in gradients.first.values()) / sum(g.square().sum() for g in expected.values())
    assert ratio.sqrt().item() == pytest.approx(1, abs=1e-4)
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients.first[name], gradient, rtol=1e-3, atol=1e-6)


@families
def test_loss_is_the_sum_over_num_items_in_batch(family: str) -> None:
    model = make(family)
    collate = DataCollatorForSeq2Seq(number_tokenizer(), model=model)
    batch = collate(reversed_sentences(5))
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]).logits
    chosen = torch.log_softmax(logits, -1).gather(-1, batch["labels"].clamp(min=0).unsqueeze(-1)).squeeze(-1)
    total = -chosen[batch["labels"] != -100].sum()
    count = int((batch["labels"] != -100).sum())
    torch.testing.assert_close(model(**batch).loss, total / count)
    torch.testing.assert_close(model(**batch, num_items_in_batch=torch.tensor(1000)).loss, total / 1000)


@families
def test_label_smoothing(family: str, tmp_path: Path) -> None:
    trainer = make_trainer(make(family), tmp_path, label_smoothing_factor=0.2, per_device_train_batch_size=8)
    batch = next(iter(trainer.get_train_dataloader()))
    labels = batch["labels"].clone()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    logits = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).logits
    targets = torch.nn.functional.one_hot(labels.clamp(min=0), 20) * 0.8 + 0.2 / 20
    cross_entropy = -(targets * torch.log_softmax(logits, -1)).sum(-1)
    torch.testing.assert_close(loss, cross_entropy[labels != -100].mean())
    trainer.args.max_steps = 2
    before = weights(trainer.model)
    trainer.train()
    assert not torch.equal(before, weights(trainer.model))


@families
def test_evaluation_generates(family: str, tmp_path: Path) -> None:
    model = make(family)
    model.generation_config.max_length = 9
    trainer = make_trainer(model, tmp_path, predict_with_generate=True, per_device_eval_batch_size=3)
    result = trainer.predict(trainer.eval_dataset)
    predictions = torch.from_numpy(result.predictions)
    assert result.metrics["test_loss"] > 0
    assert predictions.shape == (8, 9)
    for row, example in zip(predictions, trainer.eval_dataset):
        alone = model.generate(torch.tensor([example["input_ids"]]), max_length=9)[0]
        assert row[: len(alone)].tolist() == alone.tolist()
        assert set(row[len(alone) :].tolist()) <= {0, -100}


def gradients(model: AttnSeq2SeqForConditionalGeneration, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.manual_seed(5)
    model(**batch).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@families
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_gives_the_same_gradients(family: str, reentrant: bool, dropout: float) -> None:
    # Variational masks are drawn before the decoder's chunks, so that dropout must agree too.
    model = make(family, dropout=dropout, recurrent_dropout=dropout, variational_dropout=True).double().train()
    batch = dict(DataCollatorForSeq2Seq(number_tokenizer(), model=model)(reversed_sentences(3, longest=20, seed=2)))
    target_length = batch["labels"].shape[1]
    assert target_length > 10
    expected = gradients(model, batch)

    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    layers = [module for module in model.modules() if isinstance(module, CHECKPOINTED)]
    saved = {}
    for layer in layers:
        layer._gradient_checkpointing_func = saved[layer] = Mock(wraps=layer._gradient_checkpointing_func)
    checkpointed = gradients(model, batch)
    for layer in layers:
        # The decoder's steps go in chunks of about the root of their number.
        chunks = math.ceil(target_length / math.ceil(target_length**0.5))
        assert saved[layer].call_count == (chunks if isinstance(layer, RecurrentDecoderSteps) else 1)
    assert checkpointed.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.costly
@families
def test_trainer_with_gradient_checkpointing_learns_alike(family: str, tmp_path: Path) -> None:
    runs = []
    for checkpointing in (False, True):
        trainer = make_trainer(
            make(family), tmp_path, per_device_train_batch_size=8, max_steps=2, gradient_checkpointing=checkpointing
        )
        trainer.train()
        runs.append(weights(trainer.model))
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-4, atol=1e-6)


@families
def test_bfloat16(family: str) -> None:
    model = make(family)
    batch = DataCollatorForSeq2Seq(number_tokenizer(), model=model)(reversed_sentences(5))
    expected = model(**batch).loss.item()
    half = make(family).to(torch.bfloat16)
    loss = half(**batch).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=0.05)
    for name, parameter in half.named_parameters():
        assert parameter.grad.dtype == torch.bfloat16, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    tokens = half.generate(
        batch["input_ids"], attention_mask=batch["attention_mask"], num_beams=2, max_new_tokens=6, min_new_tokens=6
    )
    assert tokens.shape == (5, 7)


@pytest.mark.costly
@families
def test_bfloat16_autocast_in_trainer(family: str, tmp_path: Path) -> None:
    runs = []
    for bf16 in (False, True):
        trainer = make_trainer(make(family), tmp_path, per_device_train_batch_size=8, max_steps=3, bf16=bf16)
        trainer.train()
        assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
        runs.append(torch.tensor(losses(trainer)))
    assert not torch.equal(runs[0], runs[1])
    torch.testing.assert_close(runs[1], runs[0], rtol=0.05, atol=0.05)


@pytest.mark.costly
@families
def test_resuming_continues_the_same_run(family: str, tmp_path: Path) -> None:
    arguments = {
        "per_device_train_batch_size": 8,
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "optim": "adamw_torch",
        "learning_rate": 0.01,
    }
    whole = make_trainer(make(family, dropout=0.2), tmp_path, **arguments)
    whole.train()
    resumed = make_trainer(make(family, dropout=0.2), tmp_path, **arguments)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.state.global_step == 4
    torch.testing.assert_close(weights(resumed.model), weights(whole.model), rtol=0, atol=0)


def overfit(**fields: Any) -> None:
    torch.manual_seed(0)
    config = tiny_config(**{"hidden_size": 32, "attention_size": 32, "intermediate_size": 64, **fields})
    model = AttnSeq2SeqForConditionalGeneration(config).train()
    examples = reversed_sentences(12, longest=5, seed=4)
    batch = dict(DataCollatorForSeq2Seq(number_tokenizer(), model=model)(examples))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(300):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.05:
            break
    assert loss.item() < 0.1
    model.eval()
    translations = model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=6)
    for row, example in zip(translations.tolist(), examples):
        assert row[1 : 1 + len(example["labels"])] == example["labels"]


@pytest.mark.costly
@pytest.mark.parametrize(("encoder_type", "decoder_type"), STACK_PAIRS)
def test_overfits_reversal(encoder_type: str, decoder_type: str) -> None:
    kind = "multi_head" if decoder_type == "transformer" else "additive"
    overfit(encoder_type=encoder_type, decoder_type=decoder_type, attention_type=kind)


@pytest.mark.costly
@pytest.mark.parametrize("decoder_type", STACK_TYPES)
def test_overfits_reversal_without_attention(decoder_type: str) -> None:
    overfit(encoder_type="gru", decoder_type=decoder_type, attention_type="none")


@pytest.mark.parametrize("mixer", [mixer for mixer in DECODER_MIXERS if mixer != "attention"])
def test_overfits_reversal_with_a_mixer(mixer: str) -> None:
    overfit(**FAMILIES["transformer"], decoder_mixer=mixer)


def test_overfits_reversal_with_luong_input_feeding() -> None:
    overfit(**FAMILIES["lstm"], bridge="last")


PARALLEL_SCRIPT = """
import json, sys
import torch
from pathlib import Path
from tests.test_training import FAMILIES, losses, make, make_trainer, weights

folder, batch = Path(sys.argv[1]), int(sys.argv[2])
report = {}
for family in FAMILIES:
    model = make(family)
    model.generation_config.max_length = 8
    trainer = make_trainer(
        model, folder, per_device_train_batch_size=batch, per_device_eval_batch_size=batch, max_steps=3,
        ddp_backend="gloo" if trainer_processes > 1 else None, predict_with_generate=True,
    )
    assert trainer.args.world_size == trainer_processes
    trainer.train()
    report[family] = {
        "losses": losses(trainer),
        "weights": weights(trainer.model).tolist(),
        "predictions": trainer.predict(trainer.eval_dataset).predictions.tolist(),
    }
if trainer.is_world_process_zero():
    (folder / f"{trainer_processes}.json").write_text(json.dumps(report))
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def test_two_processes_train_as_one_with_the_doubled_batch(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    reports = {}
    for processes, batch in ((1, 8), (2, 4)):
        script = tmp_path / f"train_{processes}.py"
        script.write_text(f"trainer_processes = {processes}\n{PARALLEL_SCRIPT}")
        # On a CPU, accelerate's own --cpu wants MPI for several processes; this way it launches by torchrun.
        options = [
            "--multi_gpu",
            "--num_processes=2",
            "--num_machines=1",
            "--mixed_precision=no",
            "--dynamo_backend=no",
        ]
        launch = ["-m", "accelerate.commands.launch", *options] if processes == 2 else []
        command = [sys.executable, *launch, str(script), str(tmp_path), str(batch)]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        reports[processes] = json.loads((tmp_path / f"{processes}.json").read_text())
    for family in FAMILIES:
        one, two = reports[1][family], reports[2][family]
        assert len(one["losses"]) == 3
        assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
        assert two["weights"] == pytest.approx(one["weights"], abs=1e-5)
        assert two["predictions"] == one["predictions"]


@pytest.mark.costly
@families
@pytest.mark.parametrize("has_generation_config", [True, False])
def test_a_model_saved_by_a_trainer_generates_with_its_cache(
    family: str, has_generation_config: bool, tmp_path: Path
) -> None:
    """Every Trainer switches `config.use_cache` off, and older models were saved so."""
    trainer = make_trainer(make(family), tmp_path, max_steps=1)
    trainer.train()
    assert trainer.model.config.use_cache is False
    trainer.save_model(str(tmp_path))
    assert trainer.model.config.use_cache is False
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["use_cache"] is True
    (tmp_path / "config.json").write_text(json.dumps({**saved, "use_cache": False}))
    if not has_generation_config:
        (tmp_path / "generation_config.json").unlink()
    model = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    source = torch.tensor([[5, 6, 7, END]])
    fed = []
    model.model.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    outputs = model.generate(source, num_beams=1, min_new_tokens=5, max_new_tokens=5, return_dict_in_generate=True)
    assert fed == [1] * 5
    assert outputs.past_key_values is not None
    assert model(input_ids=source, decoder_input_ids=source).past_key_values is not None
    assert model(input_ids=source, labels=source).past_key_values is None
    model.save_pretrained(tmp_path / "again")
    for name in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "again" / name).read_text())["use_cache"] is True
    off = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path, use_cache=False)
    assert off.config.use_cache is False
