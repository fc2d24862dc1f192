"""What each weighting costs in a training step, as a ratio to the same step with the plain mean.

python benchmarks/weighting_cost.py

The step is that of a small network (three layers of 256, Adam) on 8,192 examples; the weighting,
its state and its extra arguments are on the device. Each weighted step is timed between two
unweighted ones, so that what the machine does besides hits all three. Losses with an axis of steps
are 1,024 examples of 8 steps. Weightings that learn are timed twice: as they are, and with what
their gradients cost. `--output=FILE` writes the table as JSON.
"""

import json
import pathlib
import statistics
import time
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags, logging
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cgar_jax import weighting

BATCH_SIZE = flags.DEFINE_integer("batch_size", 8192, "Losses per step.", lower_bound=64)
ROUNDS = flags.DEFINE_integer("rounds", 21, "Timed pairs of steps for each weighting.")
ONLY = flags.DEFINE_list("only", [], "Names of weightings; all if empty.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file for the table.")

CLASSES, DOMAINS, STEPS, PIXELS = 10, 10, 8, 64

SETTINGS = {
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
    "self_taught_weighting": {"learning_rate": 1e-3},
}
WITH_STEPS = {"nested_depth_weighting", "position_importance_weighting", "sorted_exit_weighting"}


class Network(nn.Module):
    """Three layers; gives the logits and the features below them."""

    @nn.compact
    def __call__(self, x):  # noqa: D102
        for _ in range(3):
            x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(CLASSES)(x), x


def data(size: int) -> dict[str, np.ndarray]:
    """Examples, and every extra argument that some weighting asks for."""
    rng = np.random.default_rng(0)
    uniform = lambda: rng.uniform(size=size).astype(np.float32)  # noqa: E731
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


def make_step(name: str | None, with_gradients: bool = False):
    """A whole training step, unweighted without a name, and the state it starts from."""
    network, optimizer = Network(), optax.adam(1e-3)
    settings = SETTINGS.get(name, {})
    transform = weighting.WEIGHTINGS[name](**settings) if name else optax.identity()

    def example_losses(params, batch):
        logits, features = network.apply(params, batch["inputs"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
        return losses, (logits, features)

    def loss_fn(params, batch, state, key, learned):
        losses, (logits, features) = example_losses(params, batch)
        extras = {name: value for name, value in batch.items() if name != "inputs"}
        probabilities = jax.nn.softmax(logits)
        extras |= {"logits": logits, "embeddings": features, "key": key} | learned
        extras |= {"probabilities": probabilities, "weak_probabilities": probabilities}
        if name in WITH_STEPS:
            losses, extras = losses.reshape(-1, STEPS), {"key": key}
        return weighting.weighted_mean(transform, losses, state, **extras)

    @jax.jit
    def step(carry, batch):
        params, shadow, optimizer_state, state, key = carry
        key, now = jax.random.split(key)
        learned = {}
        if with_gradients:
            shadow, learned = EXTRA_GRADIENTS[name](
                lambda params, batch: example_losses(params, batch)[0], params, shadow, batch
            )
        (_, (state, _)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            params, batch, state, now, learned
        )
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        return optax.apply_updates(params, updates), shadow, optimizer_state, state, key

    params = network.init(jax.random.key(0), jnp.zeros((1, PIXELS)))
    state = transform.init(jnp.zeros((8, STEPS) if name in WITH_STEPS else 8))
    return step, (params, params, optimizer.init(params), state, jax.random.key(1))


def clean_part(batch):
    """An eighth of the batch stands for clean examples."""
    return jax.tree.map(lambda column: column[: len(column) // 8], batch)


def aligned(losses_of, params, shadow, batch):
    """The alignment of `meta_weighting`: a clean gradient and one forward derivative."""
    clean = jax.grad(lambda params: losses_of(params, clean_part(batch)).mean())(params)
    return shadow, {"alignment": weighting.meta_alignment(losses_of, params, clean, batch)}


def looked_ahead(losses_of, params, shadow, batch):
    """The gradient of `self_taught_weighting`: a step ahead, a gradient there, a derivative."""
    gradient = weighting.look_ahead_gradient(
        losses_of,
        params,
        jnp.ones(len(batch["labels"])),
        lambda params: losses_of(params, clean_part(batch)).mean(),
        1e-3,
        batch,
    )
    return shadow, {"weight_gradient": gradient}


def shadowed(losses_of, params, shadow, batch):
    """The shadow of `first_order_bilevel_weighting`: a second network that trains as well."""
    del params

    def mean_loss(shadow):
        losses = losses_of(shadow, batch)
        return losses.mean(), losses

    gradient, losses = jax.grad(mean_loss, has_aux=True)(shadow)
    shadow = jax.tree.map(lambda p, g: p - 1e-3 * g, shadow, gradient)
    return shadow, {"shadow_losses": losses}


EXTRA_GRADIENTS = {
    "first_order_bilevel_weighting": shadowed,
    "meta_weighting": aligned,
    "self_taught_weighting": looked_ahead,
}


def seconds(step, carry, batch) -> float:
    """Time of one step."""
    begin = time.perf_counter()
    jax.block_until_ready(step(carry, batch))
    return time.perf_counter() - begin


def measure(names: Sequence[str], batch_size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median and quartiles of the ratio to the unweighted step, and the median step in seconds."""
    batch = jax.device_put(data(batch_size - batch_size % STEPS))
    plain = make_step(None)
    steps = {name: make_step(name) for name in names}
    steps |= {
        f"{name}, its gradients too": make_step(name, with_gradients=True)
        for name in names
        if name in EXTRA_GRADIENTS
    }
    for step in (plain, *steps.values()):
        seconds(*step, batch)  # compiles
    pairs = {name: [] for name in steps}
    for _ in track(range(rounds), "timing"):
        for name, step in steps.items():
            before, weighed, after = (seconds(*each, batch) for each in (plain, step, plain))
            pairs[name].append((2 * weighed / (before + after), weighed))
    return {
        name: {
            "ratio": statistics.median(ratio for ratio, _ in timed),
            "ratio_quartiles": statistics.quantiles((ratio for ratio, _ in timed), n=4)[::2],
            "seconds": statistics.median(weighed for _, weighed in timed),
        }
        for name, timed in pairs.items()
    }


def main(argv: Sequence[str]) -> None:
    """The command line."""
    del argv
    logging.set_verbosity(logging.WARNING)  # JAX reports the backends that are not there
    found = measure(ONLY.value or sorted(weighting.WEIGHTINGS), BATCH_SIZE.value, ROUNDS.value)
    table = Table(title=f"batch of {BATCH_SIZE.value:,} on {jax.devices()[0].device_kind}")
    for column in ("weighting", "step", "ratio to unweighted", "quartiles"):
        table.add_column(column, no_wrap=True)
    for name, figures in sorted(found.items(), key=lambda item: item[1]["ratio"]):
        low, high = figures["ratio_quartiles"]
        step = f"{1e3 * figures['seconds']:.1f} ms"
        table.add_row(name, step, f"{figures['ratio']:.3f}", f"{low:.3f} to {high:.3f}")
    Console(width=110).print(table)
    if OUTPUT.value:
        pathlib.Path(OUTPUT.value).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
