"""Reading the numbers of the published PyTorch implementation, and computing ours from them."""

import functools
import json
import os
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax import losses
from cgar_jax.curricula import Depth
from cgar_jax.models import TRM, import_published
from cgar_jax.recursion import (
    Carry,
    HaltingRule,
    Question,
    advance,
    initial_carry,
    replace_halted,
    supervision_step,
)
from cgar_jax.training.deep_supervision import example_losses

FOLDER = pathlib.Path(os.environ.get("CGAR_FIXTURES", "../shared/fixtures"))
NUM_STEPS = 3


def known() -> list[pathlib.Path]:
    """Returns the fixture files of models that this package has."""
    return [path for path in sorted(FOLDER.glob("*.npz")) if path.stem.startswith("trm")]


class Fixture:
    """One file: a model, its published parameters, and batches with the published results."""

    def __init__(self, path: pathlib.Path):
        self.arrays = dict(np.load(path))
        self.config = json.loads(str(self.arrays["config"]))
        positions = {"rope": "rotary", "learned": "learned", "none": "none"}
        self.model = TRM(
            vocab_size=self.config["vocab_size"],
            sequence_length=self.config["seq_len"],
            num_puzzle_identifiers=self.config["num_puzzle_identifiers"],
            hidden_size=self.config["hidden_size"],
            num_layers=self.config["L_layers"],
            mixing="mlp" if self.config["mlp_t"] else "attention",
            positions=positions[self.config["pos_encodings"]],
            num_heads=self.config["num_heads"],
            expansion=self.config["expansion"],
            puzzle_embedding_tokens=self.config["puzzle_emb_len"],
            puzzle_embedding_size=self.config["puzzle_emb_ndim"],
        )
        self.depth = Depth(n=self.config["L_cycles"], T=self.config["H_cycles"])
        self.parameters = self.under("param")
        self.variables = import_published(self.parameters, self.model)

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """Returns the arrays `prefix/NAME` by NAME."""
        start = prefix + "/"
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    def carry_before(self, step: int) -> Carry:
        """Returns the published carry with which a step begins."""
        batch = {n: jnp.asarray(a) for n, a in self.under(f"step{step}/batch").items()}
        if step == 0:
            return initial_carry(batch, self.model.state_shape, self.model.dtype)
        carry = {n: jnp.asarray(a) for n, a in self.under(f"step{step - 1}/carry").items()}
        return Carry(
            y=carry["z_H"],
            z=carry["z_L"],
            supervision_step=carry["steps"],
            halted=carry["halted"],
            examples={name: carry[f"current_data/{name}"] for name in batch},
        )


class Step(NamedTuple):
    """The results of our functions for one supervision step of a fixture."""

    outputs: Any
    carry: Carry
    losses: dict[str, jax.Array]
    gradients: dict
    row_gradients: jax.Array


def supervise(fixture: Fixture, step: int, carry: Carry) -> Step:
    """Runs one supervision step of a fixture from a given carry."""
    model, variables = fixture.model, fixture.variables
    table = variables["puzzle_embedding"]["table"]
    batch = {n: jnp.asarray(a) for n, a in fixture.under(f"step{step}/batch").items()}
    initial = model.apply(variables, method="initial_state")
    carry = replace_halted(carry, batch, initial)
    examples = carry.examples

    def loss_fn(params, rows):
        states, outputs = supervision_step(
            model,
            {"params": params, "constants": variables["constants"]},
            Question(examples["inputs"], rows),
            (carry.y, carry.z),
            fixture.depth,
        )
        per_example = example_losses(
            outputs,
            examples["labels"],
            losses.stablemax_cross_entropy_loss,
            halting_loss_weight=0.5,
        )
        total = sum(value.sum() for value in per_example.values())
        return total / len(rows), (states, outputs, per_example)

    rows = table[examples["puzzle_identifiers"]]
    gradients, (states, outputs, per_example) = jax.jit(jax.grad(loss_fn, (0, 1), has_aux=True))(
        variables["params"], rows
    )
    rule = HaltingRule(fixture.config["halt_max_steps"], fixture.config["halt_exploration_prob"])
    carry = advance(carry, states, outputs.halt_logits, rule, jax.random.key(0))
    return Step(outputs, carry, per_example, *gradients)


def rounding(fixture: Fixture, step: int) -> float:
    """Returns the largest distance between the states of a step in float32 and in float64.

    The published numbers are float32 too, so no implementation can be expected to come closer.
    """

    def states(dtype):
        variables = jax.tree.map(lambda a: jnp.asarray(a, dtype), fixture.variables)
        model = fixture.model.clone(dtype=dtype, param_dtype=dtype)
        batch = {n: jnp.asarray(a) for n, a in fixture.under(f"step{step}/batch").items()}
        initial = model.apply(variables, method="initial_state")
        carry = fixture.carry_before(step)
        carry = carry._replace(y=carry.y.astype(dtype), z=carry.z.astype(dtype))
        carry = replace_halted(carry, batch, initial)
        rows = variables["puzzle_embedding"]["table"][carry.examples["puzzle_identifiers"]]
        compiled = jax.jit(functools.partial(supervision_step, model, depth=fixture.depth))
        question = Question(carry.examples["inputs"], rows)
        after, _ = compiled(variables, question, (carry.y, carry.z))
        return np.stack(after)

    with jax.enable_x64(True):
        return float(np.abs(states("float32") - states("float64")).max())
