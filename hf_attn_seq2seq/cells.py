# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Recurrent cells, made of Linear parts, so that adapters and quantisation reach them.

A cell's state is a tuple of `(batch, hidden)` tensors. Gated cells (GRU, LSTM) read the hidden state before in their
gates, so their steps follow one another. Scan cells have gates of the input alone, and run over all steps at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import initialization as init

from .fused import is_plain_linear
from .recorder import active_recorder, record
from .scan import linear_scan
from .step_loop import LoopPlan, run_steps


State = tuple[torch.Tensor, ...]


def _onednn_half_types() -> frozenset[torch.dtype]:
    """The 16-bit types in which oneDNN runs recurrences on this processor; it needs AVX-512 or newer for them."""
    asked = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
    # Torch without oneDNN lacks these functions, and has its own kernels, which run anywhere.
    return frozenset(dtype for dtype, name in asked.items() if getattr(torch.ops.mkldnn, name, lambda: True)())


HOLD = 1e4  # by which a gate is exactly 0 or 1, and which half precision holds
ONEDNN_HALF_TYPES = _onednn_half_types()  # asked once: a traced graph cannot ask


class RecurrentCell(nn.Module):
    """
    One direction of one recurrent layer over one or more inputs that are projected apart and summed.

    Attributes:
        gates: Blocks of `hidden` rows in the projections.
        parts: Tensors in the state.
        bias: Whether the projection of the first input has a bias.
    """

    gates: ClassVar[int]
    parts: ClassVar[int]
    bias: ClassVar[bool] = True

    def __init__(self, input_sizes: list[int], hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        # Apart, so that what is known beforehand (the embeddings of a target) is projected once for all steps.
        self.input_projections: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            nn.Linear(size, self.gates * hidden_size, bias=self.bias and index == 0)
            for index, size in enumerate(input_sizes)
        )

    @property
    def linears(self) -> list[nn.Linear]:
        """The Linear parts."""
        return list(self.input_projections)

    def init_weights(self) -> None:
        """Initialize what is not in a Linear, and Linears that need more than the usual."""

    def project(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Inputs `(..., size)` through their projections, summed: `(..., gates * hidden)`."""
        projected = self.input_projections[0](inputs[0])
        for part, projection in zip(inputs[1:], self.input_projections[1:]):
            projected = projected + projection(part)
        return projected

    def step(self, projected: torch.Tensor, state: State, dropout_mask: torch.Tensor | None) -> State:
        """
        One time step.

        Args:
            projected: Sum of the projected inputs, `(batch, gates * hidden)`.
            state: `parts` tensors `(batch, hidden)`.
            dropout_mask: Factors `(batch, hidden)` for h in the gates, or None.

        Returns:
            The new state.
        """
        raise ValueError(f"{type(self).__name__} defines no step.")

    def output(self, state: State) -> torch.Tensor:
        """The hidden state `(..., hidden)` that a state `(..., hidden)` shows to what is around the cell."""
        return state[0]

    def run(
        self,
        inputs: list[torch.Tensor],
        state: State,
        dropout_mask: torch.Tensor | None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """
        All steps of `(batch, length, size)` inputs.

        Args:
            inputs: What the cell reads, in the order of its projections.
            state: The state before.
            dropout_mask: As for [`step`].
            lengths: `(batch, 1)`: how many steps of each row count for the last state; None: all.

        Returns:
            Outputs `(batch, length, hidden)` and the last state.
        """
        outputs = []
        for index, projected in enumerate(self.project(inputs).unbind(1)):
            before, state = state, self.step(projected, state, dropout_mask)
            outputs.append(self.output(state))
            if lengths is not None:
                state = tuple(torch.where(lengths > index, new, kept) for new, kept in zip(state, before))
        return torch.stack(outputs, dim=1), state


class GatedCell(RecurrentCell):
    """
    A cell whose gates read the hidden state before.

    Attributes:
        kernel: Torch's function for all steps at once.
        step_kernel: Torch's function for one step.
    """

    kernel: ClassVar[Callable[..., Any]]
    step_kernel: ClassVar[Callable[..., Any]]

    def __init__(self, input_sizes: list[int], hidden_size: int) -> None:
        super().__init__(input_sizes, hidden_size)
        self.hidden_projection = nn.Linear(hidden_size, self.gates * hidden_size)

    @property
    def linears(self) -> list[nn.Linear]:
        return [*self.input_projections, self.hidden_projection]

    def init_weights(self) -> None:
        weight = self.hidden_projection.weight
        # Blocks of a loaded tensor do not carry its flag, so look at the whole.
        if not getattr(weight, "_is_hf_initialized", False):
            for block in weight.split(self.hidden_size):
                block.copy_(nn.init.orthogonal_(torch.empty_like(block, dtype=torch.float32)))

    def step(self, projected: torch.Tensor, state: State, dropout_mask: torch.Tensor | None) -> State:
        hidden = state[0] if dropout_mask is None else state[0] * dropout_mask
        return self.gate(projected, self.hidden_projection(hidden), state)

    def gate(self, projected: torch.Tensor, recurrent: torch.Tensor, state: State) -> State:
        """The cell's equations; projections `(batch, gates * hidden)`."""
        raise ValueError(f"{type(self).__name__} defines no equations.")

    def one_step(self, inputs: torch.Tensor, state: State, weight: torch.Tensor, bias: torch.Tensor | None) -> State:
        """[`step`] in torch's own kernel, from inputs `(batch, size)`, their weight and a bias that are given."""
        hidden = self.hidden_projection
        start = state[0] if self.parts == 1 else state
        new = self.step_kernel(inputs, start, weight, hidden.weight, bias, hidden.bias)
        return (new,) if self.parts == 1 else tuple(new)

    @property
    def is_plain(self) -> bool:
        """Whether the fused kernels may read the weights."""
        return all(is_plain_linear(part) for part in self.linears)

    @classmethod
    def has_kernel(cls, inputs: torch.Tensor) -> bool:
        """Whether torch's fused kernel runs on this processor in the type of `inputs`, or in autocast's."""
        return True

    def can_fuse(self, inputs: torch.Tensor, dropout_mask: torch.Tensor | None) -> bool:
        """
        Whether [`fused`] gives what the steps would: not with dropout in the recurrence, nor with weights away, nor
        the gates that a recorder wants, nor in a type that the processor lacks.
        """
        if active_recorder() is not None or dropout_mask is not None or not self.is_plain:
            return False
        return inputs.device == self.hidden_projection.weight.device and self.has_kernel(inputs)

    def flat_weights(self) -> list[torch.Tensor]:
        """Input weight, hidden weight, input bias, hidden bias, as torch's fused kernels take them."""
        weights = [part.weight for part in self.input_projections]
        return [
            weights[0] if len(weights) == 1 else torch.cat(weights, dim=1),
            self.hidden_projection.weight,
            self.input_projections[0].bias,
            self.hidden_projection.bias,
        ]

    @classmethod
    def fused(
        cls, inputs: torch.Tensor, state: State, weights: list[torch.Tensor], batch_sizes: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """
        All steps in torch's own kernel.

        Args:
            inputs: `(batch, length, input)`, or packed `(tokens, input)` with `batch_sizes`.
            state: `parts` tensors `(directions, batch, hidden)`.
            weights: [`flat_weights`] of each direction, one after the other.
            batch_sizes: Rows alive at each step of packed inputs; None for padded ones.

        Returns:
            Outputs `(batch, length, directions * hidden)` or `(tokens, directions * hidden)`, and the last state.
        """
        start = tuple(part.contiguous() for part in state)
        hidden = start[0] if cls.parts == 1 else start
        bidirectional = len(weights) == 8  # not the state's shape: a traced size is a tensor
        # To keep what backward needs is called training by cuDNN, which refuses to go backwards without.
        train = torch.is_grad_enabled()
        if batch_sizes is None:
            outputs, *last = cls.kernel(inputs, hidden, weights, True, 1, 0.0, train, bidirectional, True)
        else:
            outputs, *last = cls.kernel(inputs, batch_sizes, hidden, weights, True, 1, 0.0, train, bidirectional)
        return outputs, tuple(last)

    def run_rows(self, tokens: torch.Tensor, rows: tuple[int, ...]) -> torch.Tensor:
        """
        All steps from a state of 0, in training.

        Args:
            tokens: `(tokens, input)`: the inputs of step 0, then those of step 1, and so on.
            rows: Alive at each step, never rising.

        Returns:
            Outputs `(tokens, hidden)`.
        """
        plan = LoopPlan(
            gates=self.gates,
            layers=1,
            hidden=self.hidden_size,
            asks_before=False,
            feeding=False,
            residual=False,
            heads=1,
            scaling=1.0,
            rows=rows,
        )
        start = tokens.new_zeros(rows[0], self.hidden_size)
        tensors = {
            "projected": self.input_projections[0](tokens),
            **{f"state0_{part}": start for part in range(self.parts)},
            "hidden0": self.hidden_projection.weight,
            "hidden_bias0": self.hidden_projection.bias,
        }
        return run_steps(plan, tensors)[0]

    def run(
        self,
        inputs: list[torch.Tensor],
        state: State,
        dropout_mask: torch.Tensor | None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        if not self.can_fuse(inputs[0], dropout_mask):
            return super().run(inputs, state, dropout_mask, lengths)
        joined = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
        start = tuple(part.unsqueeze(0) for part in state)
        weights = self.flat_weights()
        if lengths is None:
            fused, last = self.fused(joined, start, weights, None)
            return fused, tuple(part.squeeze(0) for part in last)
        joined, weights[0] = self.holding(joined, weights[0], lengths)
        fused, (_, *others) = self.fused(joined, start, weights, None)
        final = (lengths - 1).clamp(min=0).unsqueeze(-1).expand(-1, 1, fused.shape[-1])
        return fused, (fused.gather(1, final).squeeze(1), *(part.squeeze(0) for part in others))

    def holding(
        self, inputs: torch.Tensor, weight: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Inputs and their weight for which the fused kernel keeps, beyond `lengths`, what of the state is no output: one
        kernel for rows of all lengths, whose steps a traced graph must not count.
        """
        return inputs, weight


class GRUCell(GatedCell):
    """
    Gated recurrent unit (Cho et al. 2014, eq. 5 to 8), with the reset gate after the product as in cuDNN and torch:
    r, z = sigmoid(W x + U h), n = tanh(W_n x + r (U_n h + b)), h' = (1 - z) n + z h.
    """

    gates = 3
    parts = 1
    kernel = torch.gru
    step_kernel = torch.gru_cell

    def gate(self, projected: torch.Tensor, recurrent: torch.Tensor, state: State) -> State:
        # split, not slices: their gradients would each be padded with zeros and summed.
        sizes = [2 * self.hidden_size, self.hidden_size]
        gates, candidate = projected.split(sizes, dim=-1)
        recurrent_gates, recurrent_candidate = recurrent.split(sizes, dim=-1)
        reset, update = torch.sigmoid(gates + recurrent_gates).chunk(2, dim=-1)
        new = torch.tanh(candidate + reset * recurrent_candidate)
        # Not lerp: under autocast the state is in single precision and the gates are not.
        hidden = new + update * (state[0] - new)
        record(self, reset=reset, update=update, candidate=new, hidden_before=state[0], hidden_after=hidden)
        return (hidden,)


class LSTMCell(GatedCell):
    """
    Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000): i, f, o = sigmoid(W x +
    U h), g = tanh(W_g x + U_g h), c' = f c + i g, h' = o tanh(c').
    """

    gates = 4
    parts = 2
    kernel = torch.lstm
    step_kernel = torch.lstm_cell

    def init_weights(self) -> None:
        super().init_weights()
        bias = self.hidden_projection.bias
        if not getattr(bias, "_is_hf_initialized", False):
            # Remember at first (Jozefowicz et al. 2015).
            bias[self.hidden_size : 2 * self.hidden_size].fill_(1.0)

    def holding(
        self, inputs: torch.Tensor, weight: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # One more input, 1 beyond the end, shuts the input gate and opens the forget gate: exactly 0 and 1.
        steps = torch.arange(inputs.shape[1], device=inputs.device)
        over = (steps >= lengths).to(inputs.dtype).unsqueeze(-1)
        shut = weight.new_full((self.hidden_size, 1), -HOLD)
        column = torch.cat([shut, -shut, torch.zeros_like(shut), torch.zeros_like(shut)])
        return torch.cat([inputs, over], dim=-1), torch.cat([weight, column], dim=1)

    @classmethod
    def has_kernel(cls, inputs: torch.Tensor) -> bool:
        # On a CPU this is oneDNN's (the GRU's is torch's own). Autocast turns the inputs to 16 bits after torch has
        # looked whether oneDNN takes them, so what oneDNN lacks would raise an error.
        if inputs.device.type != "cpu":
            return True
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
        if dtype == torch.float16 and torch.is_grad_enabled():
            return False  # oneDNN has no gradients in it, on any processor
        return dtype not in (torch.bfloat16, torch.float16) or dtype in ONEDNN_HALF_TYPES

    def gate(self, projected: torch.Tensor, recurrent: torch.Tensor, state: State) -> State:
        enter, forget, candidate, leave = (projected + recurrent).chunk(4, dim=-1)
        enter, forget, leave = torch.sigmoid(enter), torch.sigmoid(forget), torch.sigmoid(leave)
        candidate = torch.tanh(candidate)
        cell = forget * state[1] + enter * candidate
        hidden = leave * torch.tanh(cell)
        record(
            self,
            input=enter,
            forget=forget,
            candidate=candidate,
            output=leave,
            hidden_before=state[0],
            hidden_after=hidden,
            cell_before=state[1],
            cell_after=cell,
        )
        return hidden, cell


class ScanCell(RecurrentCell):
    """
    A cell whose gates read the input alone, so that a new state is linear in the old one: c_t = f_t c_(t-1) + g_t.
    All steps run in one scan; there is nothing in the recurrence for `dropout_mask` to drop.
    """

    parts = 1

    def forward(self, projected: torch.Tensor, named: bool = False) -> Any:
        """[`gate_values`] or [`coefficients`]: a call, for which whoever moves parameters about waits."""
        return self.name(projected) if named else self.weigh(projected)

    def coefficients(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f and g, `(..., hidden)` each, of projected inputs `(..., gates * hidden)`."""
        return self(projected)  # type: ignore[no-any-return]

    def gate_values(self, projected: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the equations name, `(..., hidden)` each, for a recorder."""
        return self(projected, named=True)  # type: ignore[no-any-return]

    def weigh(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The cell's equations, for [`coefficients`]."""
        raise ValueError(f"{type(self).__name__} defines no equations.")

    def name(self, projected: torch.Tensor) -> dict[str, torch.Tensor]:
        """The cell's gates and candidate, for [`gate_values`]."""
        raise ValueError(f"{type(self).__name__} names no gates.")

    def step(self, projected: torch.Tensor, state: State, dropout_mask: torch.Tensor | None) -> State:
        forget, enter = self.coefficients(projected)
        new = (forget * state[0] + enter,)
        if active_recorder() is not None:
            values = self.gate_values(projected) | {
                "hidden_before": self.output(state),
                "hidden_after": self.output(new),
            }
            record(self, **values, **self.state_values(state, new))
        return new

    def state_values(self, before: State, after: State) -> dict[str, torch.Tensor]:
        """What a recorder is told of the state beyond the hidden one."""
        return {}

    def run(
        self,
        inputs: list[torch.Tensor],
        state: State,
        dropout_mask: torch.Tensor | None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        if active_recorder() is not None:
            return super().run(inputs, state, dropout_mask, lengths)
        mask = None
        if lengths is not None:
            mask = torch.arange(inputs[0].shape[1], device=lengths.device) < lengths
        states = self.scan(self.project(inputs), state[0], mask)
        return self.output((states,)), (states[:, -1],)

    def scan(
        self, projected: torch.Tensor, start: torch.Tensor, mask: torch.Tensor | None = None, reverse: bool = False
    ) -> torch.Tensor:
        """
        The states of all steps, `(batch, length, hidden)`.

        Args:
            projected: `(batch, length, gates * hidden)`.
            start: `(batch, hidden)`.
            mask: `(batch, length)` bool: steps that are False leave the state as it was; None: all are True.
            reverse: Whether the last step comes first.
        """
        forget, enter = self.coefficients(projected)
        if mask is not None:
            blank = ~mask.unsqueeze(-1)
            forget, enter = forget.masked_fill(blank, 1.0), enter.masked_fill(blank, 0.0)
        return linear_scan(forget, enter, start, reverse)


class SSRUCell(ScanCell):
    """
    Simpler simple recurrent unit (Kim et al. 2019, "From Research to Production and Back: Ludicrously Fast Neural
    Machine Translation", section 3.1): f_t = sigmoid(W_f x_t + b_f), c_t = f_t c_(t-1) + (1 - f_t) W x_t, h_t =
    relu(c_t). Its state is c.
    """

    gates = 2
    bias = False  # W has none

    def __init__(self, input_sizes: list[int], hidden_size: int) -> None:
        super().__init__(input_sizes, hidden_size)
        self.forget_bias = nn.Parameter(torch.zeros(hidden_size))

    def init_weights(self) -> None:
        init.zeros_(self.forget_bias)

    def name(self, projected: torch.Tensor) -> dict[str, torch.Tensor]:
        forget, candidate = projected.chunk(2, dim=-1)
        return {"forget": torch.sigmoid(forget + self.forget_bias), "candidate": candidate}

    def weigh(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gates = self.name(projected)
        forget = gates["forget"]
        return forget, (1.0 - forget) * gates["candidate"]

    def state_values(self, before: State, after: State) -> dict[str, torch.Tensor]:
        return {"cell_before": before[0], "cell_after": after[0]}

    def output(self, state: State) -> torch.Tensor:
        return torch.relu(state[0])


class MinGRUCell(ScanCell):
    """
    Minimal gated recurrent unit (Feng et al. 2024, "Were RNNs All We Needed?", section 3.1): z_t = sigmoid(W_z x_t +
    b_z), n_t = W_n x_t + b_n, h_t = (1 - z_t) h_(t-1) + z_t n_t. The update gate z lets the candidate n in, the other
    way round than in a GRU.
    """

    gates = 2

    def name(self, projected: torch.Tensor) -> dict[str, torch.Tensor]:
        update, candidate = projected.chunk(2, dim=-1)
        return {"update": torch.sigmoid(update), "candidate": candidate}

    def weigh(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gates = self.name(projected)
        update = gates["update"]
        return 1.0 - update, update * gates["candidate"]


class MinLSTMCell(ScanCell):
    """
    Minimal long short-term memory (Feng et al. 2024, section 3.2): i_t, f_t = sigmoid(W x_t + b), n_t = W_n x_t + b_n,
    h_t = f_t / (f_t + i_t) h_(t-1) + i_t / (f_t + i_t) n_t. It has no cell beside h.
    """

    gates = 3

    def name(self, projected: torch.Tensor) -> dict[str, torch.Tensor]:
        enter, forget, candidate = projected.chunk(3, dim=-1)
        keep = self.keep(enter, forget)
        return {
            "input": torch.sigmoid(enter),
            "forget": torch.sigmoid(forget),
            "keep": keep,
            "candidate": candidate,
        }

    @staticmethod
    def keep(enter: torch.Tensor, forget: torch.Tensor) -> torch.Tensor:
        """f / (f + i) from logarithms, since both gates may be too small to be divided."""
        return torch.sigmoid(nn.functional.logsigmoid(forget) - nn.functional.logsigmoid(enter))

    def weigh(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        enter, forget, candidate = projected.chunk(3, dim=-1)
        keep = self.keep(enter, forget)
        return keep, (1.0 - keep) * candidate


CELLS: dict[str, type[RecurrentCell]] = {
    "gru": GRUCell,
    "lstm": LSTMCell,
    "ssru": SSRUCell,
    "min_gru": MinGRUCell,
    "min_lstm": MinLSTMCell,
}


__all__ = [
    "CELLS",
    "GRUCell",
    "GatedCell",
    "LSTMCell",
    "MinGRUCell",
    "MinLSTMCell",
    "RecurrentCell",
    "SSRUCell",
    "ScanCell",
    "State",
]
