"""A StableHLO program that solves puzzles, with the parameters inside."""

import jax
import jax.numpy as jnp
from jax import export as jax_export

from cgar_jax.models import ModelParams
from cgar_jax.recursion import Reasoner, Rollouts

PLATFORMS = ("cpu", "cuda", "tpu")


def solving_program(reasoner: Reasoner, params: ModelParams) -> jax_export.Exported:
    """Exports all supervision steps of a model, for batches of any size on each of `PLATFORMS`.

    The program maps questions, tokens int32 `[batch, num_cells]`, to answers
    int32 `[batch, num_cells]` and halting probabilities float32 `[batch]`.

    Args:
      reasoner: the model with its depth and number of supervision steps.
      params: parameters of the model; they become constants of the program.
    """
    host_params = jax.device_get(params)

    def solve(questions):
        constants = jax.tree.map(jnp.asarray, host_params)
        num = questions.shape[0]
        rollouts = Rollouts.plain(questions, jnp.zeros(num, jnp.int32))
        _, by_step = reasoner.think(constants, reasoner.empty_states(num), rollouts)
        last = jax.tree.map(lambda readings: readings[-1], by_step)
        return last.answers.astype(jnp.int32), jax.nn.sigmoid(last.halt_logits)

    (batch,) = jax_export.symbolic_shape("batch")
    questions = jax.ShapeDtypeStruct((batch, reasoner.model.sequence_length), jnp.int32)
    return jax_export.export(jax.jit(solve), platforms=PLATFORMS)(questions)
