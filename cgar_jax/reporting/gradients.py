"""The gradient of each supervision step: how large it is, and how much it differs by minibatch.

The gradient of a weighted sum of losses is the weighted sum of their gradients. So two small
matrices of inner products, measured once, tell the variance under any weights of the steps.
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
from cgar_jax.recursion import Question, supervision_step
from cgar_jax.training.feed import as_partial
from cgar_jax.training.forward import example_losses
from cgar_jax.training.step import TrainStep

HIERARCHICAL = "hierarchical_supervision_weighting"


class Variance(NamedTuple):
    """How much a gradient varies."""

    absolute: float  # E ||G - E G||^2
    relative: float  # the same over ||E G||^2; NaN if the mean is lost in the noise


class GradientMoments(NamedTuple):
    """Inner products of g[t, b], the gradient at supervision step t on minibatch b, over all b."""

    mean_of_products: np.ndarray  # [steps, steps] float64, mean over b of <g[s, b], g[t, b]>
    product_of_means: np.ndarray  # [steps, steps] float64, <mean of g[s, b], mean of g[t, b]>
    num_minibatches: int

    @property
    def norms(self) -> np.ndarray:
        """Root mean square norm by supervision step, `[steps]`."""
        return np.sqrt(np.diag(self.mean_of_products))

    def variance(self, weights: np.ndarray, one_step_at_a_time: bool = False) -> Variance:
        """The variance of a weighted gradient; estimates without bias, both of it and of the mean.

        `G_b = sum_t w_t g[t, b]`, all steps of a minibatch at once; or `G_tb = S w_t g[t, b]` with
        t drawn evenly from the S steps, a minibatch at one step, which has the same mean. A trainer
        whose examples have all begun together takes the latter.

        Args:
          weights: of the steps, `[steps]`.
          one_step_at_a_time: which of the two.
        """
        num, weights = self.num_minibatches, np.asarray(weights, np.float64)
        of_mean = weights @ self.product_of_means @ weights
        between = weights @ self.mean_of_products @ weights - of_mean
        absolute = between * num / (num - 1)
        squared_mean = of_mean - absolute / num
        if one_step_at_a_time:
            second_moment = len(weights) * np.sum(np.square(weights * self.norms))
            absolute = second_moment - squared_mean
        relative = absolute / squared_mean if squared_mean > 0 else np.nan
        return Variance(float(absolute), float(relative))


def measure(
    train_step: TrainStep,
    depth: Depth,
    params: ModelParams,
    dataset: Dataset,
    num_minibatches: int,
    seed: int = 0,
) -> GradientMoments:
    """Measures gradients of the parameters by supervision step, on augmented training examples.

    `g[t, b]` is the gradient of the mean answer and halting loss of step t, unweighted. The states
    are carried from step to step, and no example halts. Sums are taken in float32.

    Args:
      train_step: of an experiment: model, losses, batch size, supervision steps, mesh.
      depth: of each deep recursion.
      params: parameters at which to measure.
      dataset: whose training examples to draw, with replacement.
      num_minibatches: at least 2, each of the batch size.
      seed: of the draw.

    Raises:
      ValueError: there are fewer than two minibatches.
    """
    if num_minibatches < 2:
        raise ValueError(f"num_minibatches is {num_minibatches}, but a variance needs 2 or more")
    gradients = _compiled(
        train_step.model,
        depth,
        train_step.halting_rule.max_supervision_steps,
        train_step.answer_loss,
        train_step.halting_loss_weight,
    )
    products, sums = 0.0, None
    for batch in _minibatches(dataset, num_minibatches, train_step.batch_size, seed):
        batch = place(batch, over_batch(train_step.mesh))
        sums, of_batch = gradients(params, batch, sums)
        products += np.asarray(of_batch, np.float64)
    of_sums = np.asarray(jax.jit(_products)(sums), np.float64)
    return GradientMoments(
        products / num_minibatches, of_sums / num_minibatches**2, num_minibatches
    )


def weights_by_step(entries: Sequence[Sequence[Any]], num_steps: int) -> dict[str, np.ndarray]:
    """How much each supervision step counts in the loss: what HSW makes of it.

    Args:
      entries: weightings as a config lists them; others than HSW are left out, because what they
        do does not depend on the supervision step alone.
      num_steps: supervision steps.

    Returns:
      Weights `[num_steps]` of each loss term, `answer` and `halt`; ones without HSW.
    """
    weigh = weighting.build([entry for entry in entries if entry[0] == HIERARCHICAL])

    def at(step):  # a batch of which all examples are at this step
        ones = {"answer": jnp.ones(1), "halt": jnp.ones(1)}
        weights, _ = weigh.update(ones, weigh.init(ones), ones, supervision_step=step[None])
        return {term: each[0] for term, each in weights.items()}

    found = [at(step) for step in jnp.arange(1, num_steps + 1)]
    return {term: np.array([each[term] for each in found]) for term in ("answer", "halt")}


def uniform_and_hierarchical(num_steps: int, decay: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the steps `[num_steps]` without and with HSW; either sum to 1."""
    entries = ((HIERARCHICAL, {"decay": decay, "num_steps": num_steps}),)
    return np.full(num_steps, 1 / num_steps), weights_by_step(entries, num_steps)["answer"]


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
def _compiled(model, depth, num_steps, answer_loss, halting_loss_weight) -> Callable:
    def loss(trained, model_params, batch, states):
        rows = model_params.puzzle_table[batch["puzzle_identifiers"]]
        variables = model_params.variables | {"params": trained}
        question = Question(batch["inputs"], rows)
        states, outputs = supervision_step(model, variables, question, states, depth)
        each = example_losses(outputs, batch["labels"], answer_loss, halting_loss_weight)
        counts = losses.valid_labels(batch["labels"]).any(-1)
        means = [losses.masked_mean(term, where=counts, axis=-1) for term in each.values()]
        return sum(means), lax.stop_gradient(states)

    @jax.jit
    def gradients(model_params, batch, sums):
        start = model.apply(model_params.variables, method="initial_state")
        shape = (len(batch["inputs"]), *model.state_shape)
        states = tuple(jnp.broadcast_to(state, shape) for state in start)

        def step(states, _):
            trained = model_params.variables["params"]
            gradient, states = jax.grad(loss, has_aux=True)(trained, model_params, batch, states)
            return states, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), gradient)

        _, found = lax.scan(step, states, length=num_steps)
        sums = found if sums is None else jax.tree.map(jnp.add, sums, found)
        return sums, _products(found)

    return gradients


def _products(gradients: Any) -> jax.Array:
    """Inner products between the steps, `[steps, steps]`; leaves are `[steps, ...]`."""
    flat = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)]
    return sum(jnp.matmul(leaf, leaf.T, precision=lax.Precision.HIGHEST) for leaf in flat)
