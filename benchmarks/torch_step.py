"""A training step of the same tiny recursive model in PyTorch, to be timed beside ours.

    python benchmarks/step_cost.py sudoku_mini --torch

The step is written in PyTorch's usual way: the cycles without gradient under `no_grad`, the last
cycle with gradient, and AdamW. Not covered: the carry of halted examples, moving averages and
metrics, which our step includes.
"""

import torch
from torch import nn
from torch.nn import functional as F

from cgar_jax.curricula import Depth
from cgar_jax.layers import gated_inner_size, rotary_angles
from cgar_jax.models.trm import TRM


class Gated(nn.Module):
    """Gated MLP over the last axis."""

    def __init__(self, size: int, model: TRM):
        super().__init__()
        inner_size = gated_inner_size(size, model.expansion, model.inner_size_multiple)
        self.gate_up = nn.Linear(size, 2 * inner_size, bias=False)
        self.down = nn.Linear(inner_size, size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `[..., size]` to the same shape."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Attention(nn.Module):
    """Self-attention over all positions, with rotary embeddings if the model uses them."""

    def __init__(self, model: TRM):
        super().__init__()
        self.num_heads = model.num_heads
        self.qkv = nn.Linear(model.hidden_size, 3 * model.hidden_size, bias=False)
        self.output = nn.Linear(model.hidden_size, model.hidden_size, bias=False)
        angles = torch.zeros(model.length, model.hidden_size // model.num_heads // 2)
        if model.positions == "rotary":
            angles = torch.tensor(rotary_angles(model.length, 2 * angles.shape[1]))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `[batch, length, hidden]` to the same shape."""
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        attended = F.scaled_dot_product_attention(self._rotate(query), self._rotate(key), value)
        return self.output(attended.transpose(1, 2).reshape(x.shape))

    def _rotate(self, x):
        first, second = x.chunk(2, dim=-1)
        rotated = first * self.cos - second * self.sin, second * self.cos + first * self.sin
        return torch.cat(rotated, dim=-1).to(x.dtype)


class Block(nn.Module):
    """Layer of the network: mixing of positions, then a gated MLP over features."""

    def __init__(self, model: TRM):
        super().__init__()
        self.mixes_by_mlp = model.mixing == "mlp"
        self.mix = Gated(model.length, model) if self.mixes_by_mlp else Attention(model)
        self.channel_mlp = Gated(model.hidden_size, model)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Maps `[batch, length, hidden]` to the same shape."""
        if self.mixes_by_mlp:
            h = h.transpose(1, 2)
            h = F.rms_norm(h + self.mix(h), h.shape[-1:], eps=1e-5).transpose(1, 2)
        else:
            h = F.rms_norm(h + self.mix(h), h.shape[-1:], eps=1e-5)
        return F.rms_norm(h + self.channel_mlp(h), h.shape[-1:], eps=1e-5)


class TorchStep(nn.Module):
    """A model with the sizes of one of ours, and its training step on random puzzles."""

    def __init__(
        self, model: TRM, depth: Depth, batch_size: int, device: str, compiled: bool = False
    ):
        """Builds the model, its optimizer and a batch of random puzzles.

        Args:
          model: the model whose sizes to take.
          depth: depth of the recursion.
          batch_size: number of puzzles.
          device: "cpu" or "cuda".
          compiled: whether the network goes through `torch.compile`.
        """
        super().__init__()
        self.depth, self.tokens = depth, model.puzzle_embedding_tokens
        self.device, self.dtype = device, getattr(torch, model.dtype)
        self.scale = model.hidden_size**0.5
        self.embedding = nn.Embedding(model.vocab_size, model.hidden_size)
        self.layers = nn.Sequential(*(Block(model) for _ in range(model.num_layers)))
        self.output_head = nn.Linear(model.hidden_size, model.vocab_size, bias=False)
        self.halting_head = nn.Linear(model.hidden_size, 1)
        self.to(device)
        self.network = torch.compile(self.layers) if compiled else self.layers
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=1e-4)
        cells = (batch_size, model.sequence_length)
        draw = torch.Generator(device).manual_seed(0)
        self.inputs, self.labels = (
            torch.randint(model.vocab_size, cells, generator=draw, device=device) for _ in range(2)
        )
        self.state = torch.zeros(batch_size, *model.state_shape, device=device, dtype=self.dtype)

    def step(self) -> float:
        """Takes one optimizer step, waits for the device, and returns the loss."""
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            loss = self._loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self) -> torch.Tensor:
        cells = self.scale * self.embedding(self.inputs)
        x = F.pad(cells, (0, 0, self.tokens, 0)).to(self.dtype)
        y, z = self.state, self.state
        with torch.no_grad():
            for _ in range(self.depth.T - 1):
                y, z = self._cycle(x, y, z)
        y, z = self._cycle(x, y, z)
        logits = self.output_head(y[:, self.tokens :]).float()
        halt_logits = self.halting_head(y[:, 0]).float().squeeze(-1)
        solved = (logits.argmax(-1) == self.labels).all(-1).float()
        answer = F.cross_entropy(logits.flatten(0, 1), self.labels.flatten())
        return answer + 0.5 * F.binary_cross_entropy_with_logits(halt_logits, solved)

    def _cycle(self, x, y, z):
        for _ in range(self.depth.n):
            z = self.network(x + y + z)
        return self.network(y + z), z
