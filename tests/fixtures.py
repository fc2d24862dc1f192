"""Reading the numbers of the published PyTorch implementation, and computing ours from them."""

import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cgar_jax import losses
from cgar_jax.curricula import Depth
from cgar_jax.models import SERRM, TRM, import_published
from cgar_jax.recursion import (
    Carry,
    Draws,
    HaltingRule,
    Question,
    RecursionOptions,
    States,
    advance,
    initial_states,
    replace_halted,
    supervision_step,
)
from cgar_jax.training.deep_supervision import DeepSupervision

FOLDER = pathlib.Path(os.environ.get("CGAR_FIXTURES", "../shared/fixtures"))


def _trm(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes of a model with the options of TRM."""
    positions = {"rope": "rotary", "learned": "learned", "none": "none"}
    return {
        "num_layers": config.get("L_layers", config.get("num_layers")),
        "mixing": "mlp" if config.get("mlp_t") else "attention",
        "positions": positions[config["pos_encodings"]],
        "puzzle_embedding_tokens": config.get("puzzle_emb_len", 1),
        "puzzle_embedding_size": config.get("puzzle_emb_ndim", 0),
    }


def _se_rrm(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes of SE-RRM."""
    return {
        "num_layers": config["L_layers"],
        "symbol_heads": config["num_heads_t"],
        "head_size": config["head_dim"],
        "extra_tokens": config["add_tokens"],
        "equivariant": config["equivariant_symbols"],
    }


MODELS = {
    "trm": _trm,
    "se_rrm": _se_rrm,
    "hrm": lambda config: _trm(config) | {"num_networks": 2},
    "urm": lambda config: _trm(config) | {"num_states": 1, "mlp": "convolutional"},
    "sic": lambda config: {
        "num_layers": config["num_layers"],
        "num_hypotheses": config["K"],
        "mlp": "normalized",
        "inner_size_multiple": config["multiple_of"],
        "puzzle_embedding_tokens": 0,
        "prefix_token": True,
        "head_bias": True,
    },
    "eqr": lambda config: _trm(config) | {"puzzle_embedding_tokens": 0, "start": "random"},
    "rsm": lambda config: _trm(config) | {"tied_head": True, "mixing_norm": "features"},
}
"""The attributes of each model by its name in a fixture's config."""


def config_of(path: pathlib.Path) -> dict[str, Any]:
    """Returns the config of a fixture file."""
    with np.load(path) as arrays:
        return json.loads(str(arrays["config"]))


def known() -> list[pathlib.Path]:
    """Returns the fixture files of models that this package has."""
    return [path for path in sorted(FOLDER.glob("*.npz")) if config_of(path)["model"] in MODELS]


class Fixture:
    """One file: a model, its published parameters, and batches with the published results."""

    def __init__(self, path: pathlib.Path):
        self.arrays = dict(np.load(path))
        self.config = config_of(path)
        self.name = self.config["model"]
        self.model = (SERRM if self.name == "se_rrm" else TRM)(
            vocab_size=self.config["vocab_size"],
            sequence_length=self.config.get("cells", self.config["seq_len"]),
            num_puzzle_identifiers=self.config.get("num_puzzle_identifiers", 1),
            hidden_size=self.config["hidden_size"],
            num_heads=self.config.get("num_heads", 1),
            expansion=self.config["expansion"],
            **MODELS[self.name](self.config),
        )
        # URM's n counts all calls of a cycle, of which there are n + 1 in ours.
        n = self.config["L_cycles"] - (self.model.num_states == 1)
        self.depth = Depth(n=n, T=self.config["H_cycles"])
        self.parameters = self.under("param")
        self.variables = import_published(self.parameters, self.model)

    @property
    def num_steps(self) -> int:
        """The number of supervision steps in the file."""
        return len({name.split("/")[0] for name in self.arrays if name.startswith("step")})

    @property
    def options(self) -> RecursionOptions:
        """The options of the recursion."""
        if self.name == "eqr":
            return RecursionOptions(rate=self.config["lambda_"], noise=self.config["noise_scale"])
        if self.name == "rsm":
            return RecursionOptions(transition_probability=0.5)
        if self.name == "hrm":
            return RecursionOptions(gradient_calls="last")
        return RecursionOptions()

    @property
    def halting_rule(self) -> HaltingRule:
        """The rule by which examples leave."""
        steps = self.config.get("halt_max_steps", self.config.get("loops", 1))
        exploration = self.config.get("halt_exploration_prob", 0.0)
        criterion = {"hrm": "q_values", "se_rrm": "never"}.get(self.name, "head")
        return HaltingRule(steps, exploration, criterion)

    @property
    def halting_loss_weight(self) -> float:
        """The factor of the halting loss."""
        return {"rsm": 0.0, "sic": 0.05}.get(self.name, 0.5)

    def drawn(self, step: int) -> tuple[jax.Array, jax.Array]:
        """Returns the published noise of all calls of a step, and whether it has a transition."""
        noise = jnp.asarray(self.arrays.get(f"step{step}/noise", 0))
        return noise, jnp.asarray(self.arrays.get(f"step{step}/trains_transition", False))

    def question(self, carry: Carry, rows: jax.Array, drawn: tuple[jax.Array, ...]) -> Question:
        """Returns the question of a step with the published draws."""
        noise, transition = drawn
        draws = Draws(lambda call: jnp.moveaxis(noise[call], 0, self.model.batch_axis), transition)
        return Question(carry.examples["inputs"], rows, draws)

    @functools.cached_property
    def supervision(self) -> DeepSupervision:
        """The supervision with which the published steps were made."""
        is_sic = self.name == "sic"
        return DeepSupervision(
            self.model,
            self.halting_rule,
            losses.softmax_cross_entropy_loss if is_sic else losses.stablemax_cross_entropy_loss,
            self.halting_loss_weight,
            self.config.get("label_smoothing", 0.0),
            self.options,
        )

    @functools.cached_property
    def gradients(self) -> Callable:
        """The compiled gradient of a step, which is the same program for all steps."""

        def loss_fn(params, rows, variables, carry, drawn):
            states, outputs, per_example = self.supervision.supervise(
                variables | {"params": params},
                self.question(carry, rows, drawn),
                carry,
                self.depth,
            )
            total = sum(value.sum() for value in per_example.values())
            return total / len(rows), (states, outputs, per_example)

        return jax.jit(jax.grad(loss_fn, (0, 1), has_aux=True))

    @functools.cache  # noqa: B019
    def compiled_in(self, dtype: str) -> Callable:
        """Returns a compiled supervision step in another dtype."""
        model = self.model.clone(dtype=dtype, param_dtype=dtype)

        def step(variables, carry, rows, drawn):
            question = self.question(carry, rows, drawn)
            states = carry.states
            return supervision_step(model, variables, question, states, self.depth, self.options)

        return jax.jit(step)

    def initial_states(self, step: int) -> States:
        """Returns the states with which examples begin at a step."""
        if getattr(self.model, "start", "constant") == "random":
            return tuple(jnp.asarray(self.arrays[f"step{step}/fresh/{n}"]) for n in ("z_H", "z_L"))
        keys = jax.random.split(jax.random.key(0), self.config["batch_size"])
        return initial_states(self.model, self.variables, keys)

    def batch(self, step: int) -> dict[str, jax.Array]:
        """Returns the examples that are offered at a step."""
        given = self.under(f"step{step}/batch")
        none = {"puzzle_identifiers": np.zeros(len(given["inputs"]), np.int32)}
        return {name: jnp.asarray(array) for name, array in (none | given).items()}

    def outputs(self, step: int) -> dict[str, np.ndarray]:
        """Returns the published outputs of a step; of several hypotheses, those of the best."""
        found = self.under(f"step{step}/out")
        if "winner" not in found:
            return found
        best = np.arange(len(found["winner"])), found["winner"]
        return {"logits": found["logits"][best], "q_halt_logits": found["q_halt"][best]}

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """Returns the arrays `prefix/NAME` by NAME."""
        start = prefix + "/"
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    def states_after(self, step: int) -> tuple[np.ndarray, ...]:
        """Returns the published states after a step; none if the model carries nothing."""
        names = {"urm": ("hidden",), "se_rrm": ("z",)}.get(self.name, ("z_H", "z_L"))
        carry = self.under(f"step{step}/carry")
        return tuple(carry[name] for name in names if name in carry)

    def carry_before(self, step: int) -> Carry:
        """Returns the published carry with which a step begins."""
        batch = self.batch(step)
        carry = self.supervision.initial_slots(batch)
        if step == 0 or not self.states_after(step - 1):
            return carry
        published = {n: jnp.asarray(a) for n, a in self.under(f"step{step - 1}/carry").items()}
        return carry._replace(
            states=tuple(
                jnp.asarray(after).reshape(empty.shape)
                for after, empty in zip(self.states_after(step - 1), carry.states, strict=True)
            ),
            supervision_step=published["steps"],
            halted=published["halted"],
            examples={name: published.get(f"current_data/{name}", batch[name]) for name in batch},
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
    variables = fixture.variables
    carry = replace_halted(carry, fixture.batch(step), fixture.initial_states(step))
    rows = variables["puzzle_embedding"]["table"][carry.examples["puzzle_identifiers"]]
    gradients, (states, outputs, per_example) = fixture.gradients(
        variables["params"], rows, variables, carry, fixture.drawn(step)
    )
    carry = advance(carry, states, outputs, fixture.halting_rule, jax.random.key(0))
    return Step(outputs, carry, per_example, *gradients)


def rounding(fixture: Fixture, step: int) -> float:
    """Returns the largest distance between the states of a step in float32 and in float64.

    The published numbers are float32 too, so no implementation can be expected to come closer.
    """

    def states(dtype):
        def cast(tree):
            return jax.tree.map(lambda a: jnp.asarray(a, dtype), tree)

        variables = cast(fixture.variables)
        batch = fixture.batch(step)
        carry = fixture.carry_before(step)
        carry = carry._replace(states=cast(carry.states))
        carry = replace_halted(carry, batch, cast(fixture.initial_states(step)))
        rows = variables["puzzle_embedding"]["table"][carry.examples["puzzle_identifiers"]]
        after, _ = fixture.compiled_in(dtype)(variables, carry, rows, fixture.drawn(step))
        return np.stack(after)

    with jax.enable_x64(True):
        return float(np.abs(states("float32") - states("float64")).max())


def tolerance(fixture: Fixture, step: int, least: float = 1e-4) -> float:
    """Returns the largest error that rounding explains.

    Only the token-mixing TRM amplifies it beyond `least`, so the others are not measured.
    """
    amplifies = fixture.name == "trm" and fixture.model.mixing == "mlp"
    return max(least, 3 * rounding(fixture, step)) if amplifies else least
