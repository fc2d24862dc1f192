"""The gradient of each supervision step: its norm, and its variance between minibatches.

The gradient of a weighted sum of losses is the weighted sum of their gradients. Therefore two small
matrices of inner products, measured once, give the variance under any weights of the steps.
`gradient_pictures` draws the results.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cgar_jax import losses, weighting
from cgar_jax.curricula import Depth
from cgar_jax.data import Dataset
from cgar_jax.mesh import over_batch, place
from cgar_jax.models import ModelParams
from cgar_jax.training.deep_supervision import DeepSupervision
from cgar_jax.training.feed import as_partial
from cgar_jax.training.step import TrainStep

HIERARCHICAL = "hierarchical_supervision_weighting"


class Variance(NamedTuple):
    """The variance of a gradient `G`.

    Attributes:
      absolute: `E ||G - E G||^2`.
      relative: `absolute / ||E G||^2`; NaN if the mean is lost in the noise.
    """

    absolute: float
    relative: float


class GradientMoments(NamedTuple):
    """Inner products of `g[t, b]`, the gradient at supervision step t on minibatch b.

    Attributes:
      mean_of_products: mean over b of `<g[s, b], g[t, b]>`, float64 `[steps, steps]`.
      product_of_means: `<mean of g[s, b], mean of g[t, b]>`, float64 `[steps, steps]`.
      num_minibatches: number of minibatches.
    """

    mean_of_products: np.ndarray
    product_of_means: np.ndarray
    num_minibatches: int

    @property
    def norms(self) -> np.ndarray:
        """Root mean square gradient norm of each supervision step, `[steps]`."""
        return np.sqrt(np.diag(self.mean_of_products))

    def variance(self, step_weights: np.ndarray, one_step_at_a_time: bool = False) -> Variance:
        """Returns the variance of a weighted gradient, from unbiased estimates.

        Two gradients with the same mean can be compared. All at once, `G_b = sum_t w_t g[t, b]`:
        the weighted sum over the steps of a minibatch. One step at a time, `G_tb = S w_t g[t, b]`
        with t drawn uniformly from the S steps, as in a trainer whose examples all began together.

        Args:
          step_weights: weights `w` of the supervision steps, `[steps]`.
          one_step_at_a_time: whether to use the second gradient.
        """
        num, step_weights = self.num_minibatches, np.asarray(step_weights, np.float64)
        of_mean = step_weights @ self.product_of_means @ step_weights
        between = step_weights @ self.mean_of_products @ step_weights - of_mean
        absolute = between * num / (num - 1)
        squared_mean = of_mean - absolute / num
        if one_step_at_a_time:
            second_moment = len(step_weights) * np.sum(np.square(step_weights * self.norms))
            absolute = second_moment - squared_mean
        relative = absolute / squared_mean if squared_mean > 0 else np.nan
        return Variance(float(absolute), float(relative))


def changes_by_hsw(
    sets: Sequence[GradientMoments], one_step_at_a_time: bool = False
) -> dict[str, np.ndarray]:
    """Returns how much the variance changes when HSW replaces uniform weights.

    Args:
      sets: moments of disjoint sets of minibatches, whose spread shows how sure the numbers are.
      one_step_at_a_time: whether a minibatch has the gradient of one random supervision step
        instead of the weighted sum over all of them.

    Returns:
      Relative changes `[sets]` of the "absolute" and the "relative" variance, such as -0.4 for
      40 % less; NaN where a mean is lost in the noise.
    """
    both = uniform_and_hierarchical(len(sets[0].norms))
    pairs = [[each.variance(weights, one_step_at_a_time) for weights in both] for each in sets]
    return {
        kind: np.array([getattr(hsw, kind) / getattr(even, kind) - 1 for even, hsw in pairs])
        for kind in Variance._fields
    }


def measure(
    train_step: TrainStep,
    depth: Depth,
    params: ModelParams,
    dataset: Dataset,
    num_minibatches: int,
    seed: int = 0,
) -> GradientMoments:
    """Measures the gradients of each supervision step on augmented training examples.

    `g[t, b]` is the gradient of the unweighted mean of answer and halting loss at step t. States
    are carried from step to step, and no example halts. Sums are accumulated in float32.

    Args:
      train_step: training step with the model, losses, batch size, supervision steps and mesh.
      depth: depth of each deep recursion.
      params: parameters at which the gradients are taken.
      dataset: data set whose training examples are drawn with replacement.
      num_minibatches: number of minibatches, at least 2.
      seed: random seed for the examples and their augmentation.

    Raises:
      ValueError: if there are fewer than two minibatches.
    """
    if num_minibatches < 2:
        raise ValueError(f"num_minibatches is {num_minibatches}; a variance needs 2 or more")
    gradients = _compiled(train_step.supervision, depth)
    products, sums = 0.0, None
    for batch in _minibatches(dataset, num_minibatches, train_step.batch_size, seed):
        batch = place(batch, over_batch(train_step.mesh))
        sums, of_batch = gradients(params, batch, sums)
        products += np.asarray(of_batch, np.float64)
    of_sums = np.asarray(jax.jit(_products)(sums), np.float64)
    return GradientMoments(
        products / num_minibatches, of_sums / num_minibatches**2, num_minibatches
    )


def weights_by_step(
    entries: Sequence[Sequence[Any]], supervision_steps: int
) -> dict[str, np.ndarray]:
    """Returns the loss weight of each supervision step under hierarchical supervision weighting.

    Args:
      entries: weightings as listed in a config; all but hierarchical supervision weighting are
        ignored, because their weights depend on more than the supervision step.
      supervision_steps: number of supervision steps.

    Returns:
      Weights `[supervision_steps]` of the loss terms "answer" and "halt"; ones without HSW.
    """
    hsw = weighting.build([entry for entry in entries if entry[0] == HIERARCHICAL])

    def weights_at(step):
        # A batch with one example, which is at this step.
        ones = {"answer": jnp.ones(1), "halt": jnp.ones(1)}
        weights, _ = hsw.update(ones, hsw.init(ones), ones, supervision_step=step[None])
        return {term: each[0] for term, each in weights.items()}

    found = [weights_at(step) for step in jnp.arange(1, supervision_steps + 1)]
    return {term: np.array([each[term] for each in found]) for term in ("answer", "halt")}


def uniform_and_hierarchical(
    supervision_steps: int, decay: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights of the steps without and with HSW; each sums to 1.

    Args:
      supervision_steps: number of supervision steps.
      decay: decay of hierarchical supervision weighting.

    Returns:
      Uniform and hierarchical weights, `[supervision_steps]` each.
    """
    entries = ((HIERARCHICAL, {"decay": decay, "num_steps": supervision_steps}),)
    uniform = np.full(supervision_steps, 1 / supervision_steps)
    return uniform, weights_by_step(entries, supervision_steps)["answer"]


def _minibatches(
    dataset: Dataset, num_minibatches: int, batch_size: int, seed: int
) -> Iterator[dict[str, jax.Array]]:
    augment, rng = as_partial(dataset.augment), np.random.default_rng(seed)
    apply = jax.jit(lambda augment, *arguments: augment(*arguments))
    names = ("inputs", "labels", "puzzle_identifiers")
    for number in range(num_minibatches):
        rows = rng.integers(len(dataset.train["inputs"]), size=batch_size)
        batch = {name: dataset.train[name][rows].astype(np.int32) for name in names}
        yield apply(augment, jax.random.fold_in(jax.random.key(seed), number), batch)


@functools.lru_cache
def _compiled(supervision: DeepSupervision, depth: Depth) -> Callable:
    """Returns a compiled function from a minibatch to sums and products of all gradients."""
    supervision_steps = supervision.halting_rule.max_supervision_steps

    def loss(trained, model_params, slots):
        rows = model_params.puzzle_rows(slots.examples["puzzle_identifiers"])
        variables = model_params.variables | {"params": trained}
        output = supervision.forward(variables, rows, slots, depth)
        means = [losses.masked_mean(term, output.right.counts) for term in output.losses.values()]
        return sum(means), lax.stop_gradient(output.states)

    @jax.jit
    def gradients(model_params, batch, sums):
        variables = model_params.variables
        empty = supervision.initial_slots(batch)
        slots = supervision.refill(empty, batch, variables, jax.random.key(0))

        def step(states, number):
            taken = jnp.full_like(slots.supervision_step, number)
            now = slots._replace(states=states, supervision_step=taken)
            gradient, states = jax.grad(loss, has_aux=True)(variables["params"], model_params, now)
            return states, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), gradient)

        _, found = lax.scan(step, slots.states, jnp.arange(supervision_steps))
        sums = found if sums is None else jax.tree.map(jnp.add, sums, found)
        return sums, _products(found)

    return gradients


def _products(gradients: Any) -> jax.Array:
    """Returns inner products between the steps, `[steps, steps]`; leaves are `[steps, ...]`."""
    flat = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)]
    return sum(jnp.matmul(leaf, leaf.T, precision=lax.Precision.HIGHEST) for leaf in flat)
