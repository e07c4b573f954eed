# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Seq2SeqTrainer with batches by tokens, averaged weights, and evaluation by translation."""

import logging
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from pyarrow import compute
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_attn_seq2seq.data.batches import TokenBudgetSampler, pad_batch
from hf_attn_seq2seq.data.examples import MediaExamples, SampledExamples
from hf_attn_seq2seq.decoding import translate
from hf_attn_seq2seq.decoding.engines import Engine
from hf_attn_seq2seq.decoding.recognition import states_of
from hf_attn_seq2seq.decoding.torch_engine import TorchEngine
from hf_attn_seq2seq.decoding.trained import TrainedGraph, can_have_graph
from hf_attn_seq2seq.evaluation.metrics import score_corpus
from hf_attn_seq2seq.labels import IGNORED
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.modeling_attn_seq2seq import open_to_readers
from hf_attn_seq2seq.training.precision import bfloat16_products, has_bfloat16
from hf_attn_seq2seq.training.recognition import recognise, similar_batches
from hf_attn_seq2seq.training.settings import TrainingSettings
from hf_attn_seq2seq.writing import writing


logger = logging.getLogger(__name__)

SECONDS = "training_seconds"  # in the log
GO_ON = "continue with --resume"  # after a full disk
EMA_FILE = "ema.safetensors"  # in a checkpoint, beside the weights that training continues with
# From how many lines on a graph saves time: of one evaluation, which opens it (0.1 s), and of all in a run, which
# writes it once (0.7 s for a GRU, 1.5 s for a Transformer of three layers). A line takes 0.7 ms less (one CPU thread).
GRAPH_LINES, GRAPH_LINES_OF_RUN = 250, 2000


class AverageOfWeights:
    """
    The exponential moving average of a model's weights (Polyak and Juditsky 1992), kept in float32.

    After step t the decay is `min(decay, (1 + t) / (10 + t))`, so that the first weights are quickly forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: weight.detach().float().clone() for name, weight in _trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = [weight.detach().float() for _, weight in _trained(model)]
        torch._foreach_lerp_(list(self.weights.values()), weights, 1 - decay)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Inside this context the model has the averaged weights."""
        kept = {name: weight.detach().clone() for name, weight in _trained(model)}
        set_weights(model, self.weights)
        try:
            yield
        finally:
            set_weights(model, kept)


def alignment_loss(weights: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """
    Cross-entropy between an alignment and attention weights, summed over target rows (Garg et al. 2019, eq. 4).

    Args:
        weights: `(batch, tgt_len, src_len)`.
        targets: The same shape; a row sums to 1, or is 0 where there is no supervision.
    """
    return -(targets * weights.float().clamp_min(1e-9).log()).sum()


def divergence_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """
    Divergence of two passes, `(KL(p1 || p2) + KL(p2 || p1)) / 2`, summed over the targets (Liang et al. 2021, eq. 2).

    Args:
        logits: `(2 * batch, tgt_len, vocab)`, the first pass before the second.
        labels: `(batch, tgt_len)`; -100 is ignored.
    """
    first, second = logits.float().chunk(2)
    # Logits can replace log-probabilities: they differ by a constant per row, and its factors sum to 0.
    rows = ((first.softmax(-1) - second.softmax(-1)) * (first - second)).sum(-1)
    return rows[labels != IGNORED].sum() / 2


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Each parameter once; tied ones under their first name."""
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


@torch.no_grad()
def set_weights(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy weights into the parameters with these names."""
    for name, parameter in model.named_parameters():
        if name in weights:
            parameter.copy_(weights[name])


class TranslationTrainer(Seq2SeqTrainer):
    """
    Trains on examples with `input_ids` and `labels`, or on sounds or pictures, and evaluates by translating.

    Args:
        settings: The training section of a recipe.
        train_dataset: A `datasets.Dataset` with the columns `input_ids` and `labels`, or `MediaExamples`.
        eval_dataset: The same for the validation pairs, for their loss; of sounds or pictures, also to be translated.
        sources, references: The validation texts, or the files' names, and the references of each.
        language: Language of the targets, by which BLEU finds words.
        sampled: The training pairs with randomly sampled subwords, instead of the tokens in `train_dataset`.
        processor: What is saved with the model, if not the tokenizer alone.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: Seq2SeqTrainingArguments,
        settings: TrainingSettings,
        train_dataset: Any,
        eval_dataset: Any,
        tokenizer: PreTrainedTokenizerBase,
        sources: Sequence[str],
        references: Sequence[Sequence[str]],
        language: str | None = None,
        sampled: SampledExamples | None = None,
        callbacks: list[TrainerCallback] | None = None,
        processor: Any = None,
    ) -> None:
        self.settings, self.sources, self.references, self.language = settings, sources, references, language
        self.sampled, guided = sampled, settings.guided_alignment
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processor or tokenizer,
            data_collator=partial(pad_batch, pad_token_id=tokenizer.pad_token_id, shift=guided.shift if guided else 0),
            callbacks=callbacks,
        )
        self.tokenizer = tokenizer
        self.products = bfloat16_products if settings.bf16 and not args.bf16 and has_bfloat16() else nullcontext
        self.target_tokens_seen = 0
        self.translations: list[str] = []  # of the latest evaluation
        self.graph: TrainedGraph | None = None  # made when it is first needed
        self.graph_failed = False
        self.started, self.seconds_before = time.perf_counter(), 0.0
        self.ema = AverageOfWeights(model, settings.ema_decay) if settings.ema_decay else None
        if self.ema is not None:
            self.add_callback(_UpdateAverage(self.ema))

    def sampler(self, dataset: Dataset | MediaExamples, seed: int) -> TokenBudgetSampler:
        """The batches of this process."""
        settings, media = self.settings, isinstance(dataset, MediaExamples)
        return TokenBudgetSampler(
            states_of(self.unwrapped().config, dataset.lengths()) if media else token_counts(dataset, "input_ids"),
            token_counts(dataset.encoded if media else dataset, "labels"),
            batch_tokens=settings.batch_tokens,
            batch_size=settings.batch_size or (None if settings.batch_tokens else 64),
            seed=seed,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
            by_source=media,  # whose states cost most
        )

    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        settings = self.settings
        batches = len(self.sampler(self.train_dataset, settings.seed))
        epoch = max(1, math.ceil(batches / settings.gradient_accumulation_steps))
        return settings.max_steps or math.ceil(settings.epochs * epoch)

    def get_train_dataloader(self) -> DataLoader:
        sampler = self.sampler(self.train_dataset, self.settings.seed)
        drawn = [
            each for each in (self.sampled, self.train_dataset) if isinstance(each, SampledExamples | MediaExamples)
        ]
        self.add_callback(_SetEpoch([sampler, *drawn]))
        # A separate generator: drawing the workers' seed from the default one would change dropout.
        return DataLoader(
            self.train_dataset if self.sampled is None else self.sampled,  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            generator=torch.Generator(),
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """
        Cross-entropy per target token over all processes and accumulated batches, with label smoothing; in training
        also the losses of guided alignment and R-Drop, if enabled.

        R-Drop (Liang et al. 2021, eq. 4) passes each batch twice; its loss is halved here, so that each target counts
        once.
        """
        inputs = dict(inputs)
        labels, alignment = inputs.pop("labels"), inputs.pop("alignment", None)
        shift = self.unwrapped().prepare_decoder_input_ids_from_labels  # the start token, then all but the last
        decoder_input_ids = shift(labels)  # type: ignore[operator]
        guided = self.settings.guided_alignment if model.training else None
        if model.training and self.settings.scheduled_sampling:
            decoder_input_ids = self._with_own_words(inputs, decoder_input_ids, labels)
        passes = 2 if model.training and self.settings.r_drop else 1
        if passes > 1:
            inputs = {name: torch.cat([value, value]) for name, value in inputs.items()}
            decoder_input_ids = torch.cat([decoder_input_ids, decoder_input_ids])
        outputs = model(
            **inputs,
            decoder_input_ids=decoder_input_ids,
            labels=labels.repeat(passes, 1),
            label_smoothing=self.settings.label_smoothing if model.training else 0.0,
            num_items_in_batch=1,  # the sum
            output_attentions=guided is not None,
            output_logits=passes > 1 or return_outputs,
        )
        loss = outputs.loss
        if guided is not None:
            heads = outputs.cross_attentions[guided.layer]  # batch x heads x tgt_len x src_len
            weights = heads.mean(1) if guided.head is None else heads[:, guided.head]
            loss = loss + guided.weight * alignment_loss(weights, alignment.repeat(passes, 1, 1))
        if passes > 1:
            loss = (loss + self.settings.r_drop * divergence_loss(outputs.logits, labels)) / passes
        if num_items_in_batch is None:
            num_items_in_batch = (labels != IGNORED).sum()
        elif self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # the gradients of the processes are averaged
        loss = loss / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def _with_own_words(
        self, inputs: dict[str, Any], decoder_input_ids: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """
        Decoder inputs in which some reference tokens are replaced by what the model predicts there.

        A first pass without gradients predicts all positions at once (Mihaylova and Martins 2019, section 3); the
        probability of using a prediction rises linearly over the run (Bengio et al. 2015, section 2.4).
        """
        chance = self.settings.scheduled_sampling * self.state.global_step / self.state.max_steps
        said = self.unwrapped()(**inputs, decoder_input_ids=decoder_input_ids, use_cache=False).logits.argmax(-1)
        said = torch.cat([decoder_input_ids[:, :1], said[:, :-1]], dim=1)  # after the start token
        real = torch.cat([torch.zeros_like(labels[:, :1], dtype=torch.bool), labels[:, :-1] != IGNORED], dim=1)
        taken = real & (torch.rand(said.shape, device=said.device) < chance)
        return torch.where(taken, said, decoder_input_ids)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        with self.products():
            loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss is {loss.item()} at step {self.state.global_step + 1}: lower training.learning_rate, or "
                "training.max_grad_norm."
            )
        self.target_tokens_seen += int((inputs["labels"] != IGNORED).sum()) * self.accelerator.num_processes
        return loss

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
        **gen_kwargs: Any,
    ) -> dict[str, float]:
        """The loss per target token and, if the metric needs translations, the metric of greedy ones."""
        with self.averaged_weights():
            loss = self._evaluation_loss(self.eval_dataset if eval_dataset is None else eval_dataset)
            metrics = {f"{metric_key_prefix}_loss": loss}
            count = len(self.sources) if self.settings.metric != "loss" else self.settings.samples
            media = isinstance(self.eval_dataset, MediaExamples)
            self.translations = self._translate_in_shards(range(count) if media else self.sources[:count])
            if self.settings.metric != "loss":
                scores = score_corpus(
                    self.translations, self.references, [self.settings.metric], target_language=self.language
                )
                metrics[f"{metric_key_prefix}_{self.settings.metric}"] = scores[self.settings.metric].value
        self.log({**metrics, SECONDS: self.seconds()})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def seconds(self) -> float:
        """Seconds of training, including those of the runs that this one resumes."""
        return self.seconds_before + time.perf_counter() - self.started

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside this context the model has the weights that are evaluated and saved: the average, if there is one."""
        if self.ema is None:
            yield
        else:
            with self.ema.in_place(self.unwrapped()):
                yield

    def unwrapped(self) -> PreTrainedModel:
        return self.accelerator.unwrap_model(self.model)

    @torch.no_grad()
    def _evaluation_loss(self, dataset: Any) -> float:
        model = self.unwrapped()
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64)  # negative log-likelihood, target tokens
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        size = self.args.per_device_eval_batch_size
        batches: Iterable[list[int]]
        if isinstance(dataset, MediaExamples):
            batches = similar_batches(model.config, dataset, range(rank, len(dataset), processes), size)
        else:
            mine = np.argsort(token_counts(dataset, "labels"), kind="stable")[rank::processes].tolist()
            batches = (mine[start : start + size] for start in range(0, len(mine), size))
        for indices in batches:
            batch = self.data_collator(dataset.__getitems__(indices))
            batch = self._prepare_inputs(batch)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, batch)
            tokens = int((batch["labels"] != IGNORED).sum())
            sums += torch.tensor([loss.item() * tokens, tokens], dtype=torch.float64)
        sums = self.accelerator.reduce(sums.to(self.args.device), "sum")
        return float(sums[0] / sums[1])

    def _translate_in_shards(self, sources: Sequence[Any]) -> list[str]:
        """Greedy translations of texts, or of sounds or pictures by index; each process makes a share of them."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        mine = range(rank, len(sources), processes)
        translated = self._translate([sources[index] for index in mine])
        together = gather_object(list(zip(mine, translated))) if processes > 1 else list(zip(mine, translated))
        return [text for _, text in sorted(together)]

    def _translate(self, sources: Sequence[Any]) -> list[str]:
        """Greedy translations by the weights that the model has now: by its graph where that is quicker, and equal."""
        model = self.unwrapped()
        if isinstance(self.eval_dataset, MediaExamples):
            size = self.args.per_device_eval_batch_size
            processor: Any = self.processing_class
            return recognise(processor, TorchEngine(model), self.eval_dataset, sources, size, num_beams=1)

        def translated(by: PreTrainedModel | Engine) -> list[str]:
            batch_size = self.args.per_device_eval_batch_size  # sentences are not split, as in `evaluate`
            return translate(by, self.tokenizer, sources, split_sentences=False, batch_size=batch_size, num_beams=1)

        if self._pays_for_graph(len(sources)) and can_have_graph(model):
            try:
                if self.graph is None or self.graph.model is not model:
                    self.graph = TrainedGraph(model)
                engine = self.graph.open()
                if engine.can({"num_beams": 1}) is None:
                    return translated(engine)
            except Exception as error:  # of any library: training must go on
                self.graph, self.graph_failed = None, True
                reason = shortened((str(error).splitlines() or [repr(error)])[0].rstrip("."))
                logger.warning(f"The graph of this model fails ({reason}): PyTorch evaluates it, which is slower.")
        return translated(model)

    def _pays_for_graph(self, lines: int) -> bool:
        state, by_steps = self.state, self.args.eval_strategy == "steps"
        evaluations = state.max_steps // state.eval_steps if by_steps else state.num_train_epochs
        return not self.graph_failed and lines >= GRAPH_LINES and lines * evaluations >= GRAPH_LINES_OF_RUN

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call)
        if _internal_call and self.ema is not None and self.args.should_save:
            save_file(self.ema.weights, Path(output_dir) / EMA_FILE)
            open_to_readers(Path(output_dir) / EMA_FILE)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        checkpoint = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        try:
            with writing(checkpoint, GO_ON):
                super()._save_checkpoint(model, trial)
        except BaseException:
            if not (checkpoint / TRAINER_STATE_NAME).exists():  # written last, before older checkpoints are removed
                shutil.rmtree(checkpoint, ignore_errors=True)
            raise

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        with reading(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            if self.ema is not None:
                kept = load_file(Path(resume_from_checkpoint) / EMA_FILE)
                self.ema.weights = {name: kept[name].to(old.device) for name, old in self.ema.weights.items()}

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        super()._issue_warnings_after_load(load_result)
        tied = self.unwrapped().all_tied_weights_keys  # type: ignore[operator, union-attr]
        if lacking := sorted({name.removeprefix("module.") for name in load_result.missing_keys} - tied.keys()):
            raise KeyError(lacking[0])  # it would be trained on from new weights

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with reading(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with reading(checkpoint):
            super()._load_rng_state(checkpoint)

    def _load_best_model(self) -> None:
        best = Path(self.args.output_dir) / Path(self.state.best_model_checkpoint).name  # it may have been moved
        set_weights(self.unwrapped(), kept_weights(best, self.unwrapped()))


def token_counts(dataset: Dataset, column: str) -> np.ndarray:
    """The length of each row, without converting the tokens to Python objects."""
    return compute.list_value_length(dataset.with_format("arrow")[:][column]).to_numpy()


@contextmanager
def reading(checkpoint: str | Path | None) -> Iterator[None]:
    """Inside the block, whatever is wrong with a checkpoint's files raises a ValueError of one sentence."""
    try:
        yield
    except Exception as error:  # of the libraries that read them, each has its own
        reason = (
            f"{error} is missing" if isinstance(error, KeyError) else (str(error).splitlines() or [repr(error)])[0]
        )
        raise ValueError(
            f"The checkpoint '{checkpoint}' is damaged ({shortened(reason.rstrip('.'))}): remove it, and --resume "
            "continues from an older one, if there is one."
        ) from error


def kept_weights(checkpoint: Path, model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint that are evaluated and saved: the average, if there is one; none may be missing."""
    with reading(checkpoint):
        ema = checkpoint / EMA_FILE
        weights = load_file(ema if ema.exists() else checkpoint / "model.safetensors")
        if lacking := [name for name, _ in _trained(model) if name not in weights]:
            raise KeyError(lacking[0])
    return weights


class _SetEpoch(TrainerCallback):
    """Sets the epoch of everything that is resampled every epoch."""

    def __init__(self, drawn: Sequence[TokenBudgetSampler | SampledExamples | MediaExamples]) -> None:
        self.drawn = drawn

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for drawn in self.drawn:
            drawn.set_epoch(int((state.epoch or 0) + 1e-6))  # 1e-6: the epoch is a quotient


class _UpdateAverage(TrainerCallback):
    def __init__(self, ema: AverageOfWeights) -> None:
        self.ema = ema

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        self.ema.update(getattr(model, "module", model), state.global_step)


class StopWithoutProgress(TrainerCallback):
    """
    Early stopping: ends training when `patience` evaluations in a row were no better than an earlier one.

    They are counted in the log, which a resumed run also has (the callback of Transformers starts from zero).
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self.settings = settings

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_training_stop = control.should_training_stop or is_patience_over(self.settings, state)


def is_patience_over(settings: TrainingSettings, state: TrainerState) -> bool:
    """Whether the latest `patience` evaluations were no better than an earlier one."""
    names = [f"eval_{settings.metric}"]
    if settings.metric == "sequence_error_rate":
        names.append("eval_wer")  # as a run of version 0.1.0 logged it
    values = [entry[name] for entry in state.log_history for name in names if name in entry]
    if settings.patience is None or not values:
        return False
    best = max(values) if settings.greater_is_better else min(values)
    return len(values) - 1 - values.index(best) >= settings.patience
