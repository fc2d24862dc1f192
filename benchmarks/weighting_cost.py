"""Measures the cost of each weighting in a training step, relative to the plain mean.

    python benchmarks/weighting_cost.py
    python benchmarks/weighting_cost.py --only=focal_weighting,meta_weighting --json=FILE.json

The step trains a small network (three layers of 256 units, Adam) on 8,192 examples; the weighting,
its state and its extra arguments are on the device. Each weighted step is timed between two
unweighted ones, so that other load on the machine affects all three. Losses with an axis of steps
are 1,024 examples of 8 steps. Weightings that learn from gradients are timed twice: with these
gradients given, and with their computation.
"""

import functools
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from measuring import Spread, timed
from rich.console import Console
from rich.table import Table

from cgar_jax import contrib, weighting
from cgar_jax.commands import command_line, runner
from cgar_jax.progress import Status

WEIGHTINGS = weighting.WEIGHTINGS | contrib.WEIGHTINGS
CLASSES, DOMAINS, STEPS, PIXELS = 10, 10, 8, 64
LEARNING_RATE = 1e-3

SETTINGS: dict[str, dict[str, Any]] = {
    "agreement_pseudo_label_weighting": {"num_classes": CLASSES},
    "comp_sum_weighting": {"tau": 1.7},
    "difficulty_curriculum_weighting": {"end_step": 100_000},
    "doremi_domain_weighting": {"num_domains": DOMAINS},
    "early_distillation_weighting": {"role": "label", "distillation_steps": 100_000},
    "first_order_bilevel_weighting": {"num_domains": DOMAINS, "learning_rate": 0.1},
    "inverse_propensity_weighting": {"clip": 0.1},
    "loss_based_weighting": {"burn_in_steps": 0},
    "pacing_subset_weighting": {"end_step": 100_000},
    "pass_at_n_weighting": {"num_samples": 16},
    "progressive_hardness_weighting": {"hardness": 1.0},
    "prototype_gap_weighting": {"num_classes": CLASSES, "num_features": 256},
    "self_taught_weighting": {"learning_rate": LEARNING_RATE},
}
WITH_STEPS = {
    "nested_depth_weighting",
    "position_importance_weighting",
    "sorted_exit_weighting",
    "winner_takes_all_weighting",
}


class Network(nn.Module):
    """A network of three layers that returns logits and the features below them."""

    @nn.compact
    def __call__(self, x):
        """Computes logits and features."""
        for _ in range(3):
            x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(CLASSES)(x), x


def make_batch(size: int) -> dict[str, np.ndarray]:
    """Returns random examples, with the extra arguments of all weightings."""
    rng = np.random.default_rng(0)

    def uniform():
        return rng.uniform(size=size).astype(np.float32)

    return {
        "inputs": rng.normal(size=(size, PIXELS)).astype(np.float32),
        "labels": rng.integers(0, CLASSES, size),
        "supervision_step": rng.integers(1, 17, size),
        "difficulty": uniform(),
        "domain_ids": rng.integers(0, DOMAINS, size),
        "reference_losses": uniform(),
        "teacher_losses": uniform(),
        "propensity": uniform(),
        "alignment": uniform(),
        "is_labeled": rng.random(size) < 0.5,
        "neighbor_labels": rng.integers(0, CLASSES, size),
        "agreement": uniform(),
    }


def forward(params, batch):
    """Returns unreduced losses, logits and features of a batch."""
    logits, features = Network().apply(params, batch["inputs"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
    return losses, logits, features


def example_losses(params, batch):
    """Returns the unreduced losses of a batch."""
    return forward(params, batch)[0]


def make_step(name: str | None, with_gradients: bool = False) -> tuple[Callable, tuple]:
    """Builds a training step.

    Args:
      name: name of the weighting, or None for the plain mean.
      with_gradients: whether the step computes the gradients that the weighting learns from.

    Returns:
      The compiled step, `(carry, batch) -> carry`, and its initial carry.
    """
    optimizer = optax.adam(LEARNING_RATE)
    transform = WEIGHTINGS[name](**SETTINGS.get(name, {})) if name else optax.identity()

    def loss_fn(params, batch, state, key, learned):
        losses, logits, features = forward(params, batch)
        if name in WITH_STEPS:
            losses = losses.reshape(-1, STEPS)
            return weighting.weighted_mean(transform, losses, state, key=key)
        extras = {name: value for name, value in batch.items() if name != "inputs"}
        probabilities = jax.nn.softmax(logits)
        extras |= {"logits": logits, "embeddings": features, "key": key} | learned
        extras |= {"probabilities": probabilities, "weak_probabilities": probabilities}
        return weighting.weighted_mean(transform, losses, state, **extras)

    @jax.jit
    def step(carry, batch):
        params, shadow, optimizer_state, state, key = carry
        key, step_key = jax.random.split(key)
        learned = {}
        if name and with_gradients:
            shadow, learned = EXTRA_GRADIENTS[name](params, shadow, batch)
        (_, (state, _)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            params, batch, state, step_key, learned
        )
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        return optax.apply_updates(params, updates), shadow, optimizer_state, state, key

    params = Network().init(jax.random.key(0), jnp.zeros((1, PIXELS)))
    state = transform.init(jnp.zeros((8, STEPS) if name in WITH_STEPS else 8))
    return step, (params, params, optimizer.init(params), state, jax.random.key(1))


def clean_loss(params, batch):
    """Returns the mean loss of an eighth of the batch, which represents clean examples."""
    clean = jax.tree.map(lambda column: column[: len(column) // 8], batch)
    return example_losses(params, clean).mean()


def align(params, shadow, batch):
    """Computes the alignment for `meta_weighting`: a clean gradient and a forward derivative."""
    clean_gradient = jax.grad(clean_loss)(params, batch)
    alignment = weighting.meta_alignment(example_losses, params, clean_gradient, batch)
    return shadow, {"alignment": alignment}


def look_ahead(params, shadow, batch):
    """Computes the gradient for `self_taught_weighting`, which looks one step ahead."""
    meta_loss_fn = functools.partial(clean_loss, batch=batch)
    weights = jnp.ones(len(batch["labels"]))
    gradient = weighting.look_ahead_gradient(
        example_losses, params, weights, meta_loss_fn, LEARNING_RATE, batch
    )
    return shadow, {"weight_gradient": gradient}


def train_shadow(params, shadow, batch):
    """Trains the shadow model of `first_order_bilevel_weighting` and returns its losses."""
    del params

    def mean_loss(shadow):
        losses = example_losses(shadow, batch)
        return losses.mean(), losses

    gradient, losses = jax.grad(mean_loss, has_aux=True)(shadow)
    shadow = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, shadow, gradient)
    return shadow, {"shadow_losses": losses}


EXTRA_GRADIENTS = {
    "first_order_bilevel_weighting": train_shadow,
    "meta_weighting": align,
    "self_taught_weighting": look_ahead,
}


def measure(
    names: Sequence[str], batch_size: int, rounds: int, status: Status
) -> dict[str, dict[str, Spread]]:
    """Times the steps of some weightings.

    Args:
      names: names of the weightings.
      batch_size: number of losses per step.
      rounds: number of timed steps per weighting.
      status: shows the progress.

    Returns:
      For each weighting, the spread of its step in `seconds` and as a `ratio` to the mean of the
      unweighted steps before and after it.
    """
    batch = jax.device_put(make_batch(batch_size - batch_size % STEPS))
    unweighted = make_step(None)
    steps = {name: make_step(name) for name in names}
    steps |= {
        f"{name}, with its gradients": make_step(name, with_gradients=True)
        for name in names
        if name in EXTRA_GRADIENTS
    }

    def seconds(step: Callable, carry: tuple) -> float:
        return timed(step, carry, batch)[1]

    status.update("compiling")
    for step in (unweighted, *steps.values()):
        seconds(*step)  # The first call compiles.
    ratios, times = ({name: [] for name in steps} for _ in range(2))
    for number in range(1, rounds + 1):
        status.update(f"timing, round {number} of {rounds}")
        for name, step in steps.items():
            before, weighted, after = (seconds(*each) for each in (unweighted, step, unweighted))
            ratios[name].append(2 * weighted / (before + after))
            times[name].append(weighted)
    return {
        name: {"ratio": Spread.of(ratios[name]), "seconds": Spread.of(times[name])}
        for name in steps
    }


def define_flags() -> None:
    """Defines this benchmark's flags."""
    flags.DEFINE_integer("batch_size", 8192, "number of losses per step", lower_bound=64)
    flags.DEFINE_integer("rounds", 21, "number of timed steps per weighting", lower_bound=1)
    flags.DEFINE_list("only", [], "names of the weightings to time; all by default")
    command_line.define_path("json", "file to write the figures to")


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    with Status() as status:
        names = values.only or sorted(WEIGHTINGS)
        found = measure(names, values.batch_size, values.rounds, status)
    title = f"training step with {values.batch_size:,} losses on {jax.devices()[0].device_kind}"
    table = Table(title=title)
    for column in ("weighting", "step (quartiles)", "ratio to unweighted (quartiles)"):
        table.add_column(column, no_wrap=True)
    for name, spreads in sorted(found.items(), key=lambda item: item[1]["ratio"].median):
        step = spreads["seconds"].show(".1f", "ms", 1e3)
        table.add_row(name, step, spreads["ratio"].show(".3f"))
    Console(width=130).print(table)
    if values.json:
        result = {
            name: {key: spread._asdict() for key, spread in spreads.items()}
            for name, spreads in found.items()
        }
        pathlib.Path(values.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    runner.main(define_flags, main, required=[])
