"""The training step: one supervision step of every slot, one loss, one update; many per dispatch.

`TrainStep` holds what is fixed during a run. Depth is a static argument: the loop compiles one
program per curriculum stage.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh

from cgar_jax import losses, optimizers, weighting
from cgar_jax.curricula import DepthCurriculum, StageDepth, as_depth_choice
from cgar_jax.data import schema
from cgar_jax.mesh import over_batch
from cgar_jax.models import Model
from cgar_jax.recursion import HaltingRule, advance, replace_halted
from cgar_jax.sampling import Request, Sampling
from cgar_jax.training.feed import TrainingBlock, TrainingSet
from cgar_jax.training.forward import Forward
from cgar_jax.training.state import TrainState, initial_state, variables
from cgar_jax.training.step_metrics import batch_metrics

Examples = dict[str, jax.Array]
TrainingData = TrainingSet | TrainingBlock


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """Everything that is fixed while a run trains, and the pure functions of it.

    Attributes:
      model: a flax module of `cgar_jax.models`.
      optimizer: of the parameters.
      weighting: of the per-example losses `{"answer", "halt"}`.
      sampling: which examples a batch holds.
      curriculum: of the depth.
      total_steps: optimizer steps of the run, for the progress of sampling and depth.
      answer_loss: unreduced, see `example_losses`.
      halting_loss_weight: see `example_losses`.
      batch_size: slots.
      halting_rule: when an example leaves its slot.
      ema_decay: of the parameters' moving average.
      puzzle_learning_rate: `step -> learning rate` of the puzzle embedding's sign-SGD.
      puzzle_weight_decay: of the same.
      mesh: the devices; the numbers do not depend on it, but for the order of sums.
      microbatches: parts of each device's share of the batch, one after the other: of the
        activations that a gradient needs only one part's are kept.
    """

    model: Model
    optimizer: optax.GradientTransformation
    weighting: optax.GradientTransformationExtraArgs
    sampling: Sampling
    curriculum: DepthCurriculum
    total_steps: int
    answer_loss: Callable[..., jax.Array]
    halting_loss_weight: float
    batch_size: int
    halting_rule: HaltingRule
    ema_decay: float
    puzzle_learning_rate: Callable[[jax.Array], jax.Array]
    puzzle_weight_decay: float
    mesh: Mesh
    microbatches: int = 1

    def init(self, key: jax.Array, sequence_length: int) -> TrainState:
        """The state before the first step, for examples of `sequence_length` cells."""
        template = {name: jnp.zeros(self.batch_size) for name in ("answer", "halt")}
        fresh = {
            column.name: jnp.zeros((self.batch_size, *column.shape(sequence_length)), column.dtype)
            for column in schema.CARRIED_COLUMNS
        }
        return initial_state(
            self.model,
            self.optimizer,
            self.weighting,
            self.sampling,
            self.curriculum.init(self.total_steps),
            template,
            fresh,
            key,
        )

    def step_flops(self, depth: StageDepth) -> float:
        """Model FLOPs of one optimizer step: matrix products, a backward pass as two forward ones.

        Args:
          depth: of the step; of several it is the mean.
        """
        network, heads = self.model.network_flops(), 3 * self.model.heads_flops()
        per_example = depth.gradient_aware_cost * network + depth.num_exits * heads
        return self.batch_size * per_example

    def draw(self, key: jax.Array, state: TrainState, data: TrainingData) -> tuple[Examples, Any]:
        """A batch of fresh examples, augmented, and the sampling's state; the host takes no part.

        Of a `TrainingBlock` it is the batch that is there for this step.
        """
        draw_key, augment_key = jax.random.split(key)
        if isinstance(data, TrainingBlock):
            rows, sampling_state = state.step - data.first_step, state.sampling_state
        else:
            request = Request(
                key=draw_key,
                progress=self._progress(state),
                groups=data.examples["groups"],
                wanted=state.carry.halted,
            )
            rows, sampling_state = self.sampling.draw(state.sampling_state, request)
        examples = {
            column.name: data.examples[column.name][rows].astype(column.dtype)
            for column in schema.CARRIED_COLUMNS
        }
        # Where the rows come from lies on every device, but each has only its own to augment.
        examples = lax.with_sharding_constraint(examples, over_batch(self.mesh))
        return data.augment(augment_key, examples), sampling_state

    def step(
        self, depth: StageDepth, state: TrainState, data: TrainingData
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """One optimizer step, and its metrics for `finish_metrics`."""
        key = jax.random.fold_in(state.key, state.step)
        draw_key, halt_key = jax.random.split(key)
        # In JAX, split(key, 2) is fold_in(key, 0) and fold_in(key, 1): those are taken.
        depth_key, weighting_key = (jax.random.fold_in(key, data) for data in (2, 3))
        fresh, sampling_state = self.draw(draw_key, state, data)
        initial = self.model.apply(variables(state.params, state.constants), method="initial_state")
        carry = replace_halted(state.carry, fresh, initial)

        def gradient_at(depth):
            return lambda: jax.value_and_grad(self._loss, (0, 1), has_aux=True)(
                state.params,
                state.puzzle_table[carry.examples["puzzle_identifiers"]],
                depth,
                state,
                carry,
                weighting_key,
            )

        choice = as_depth_choice(depth)
        chosen = choice.choose(state.depth_state, depth_key, self._progress(state))
        branches = [gradient_at(each) for _, each in choice.draws]
        (loss, aux), gradients = lax.switch(chosen, branches)
        output = aux["output"]
        answer_losses = output.losses["answer"].reshape(self.batch_size, -1).mean(-1)
        sampling_state = self.sampling.update(
            sampling_state, answer_losses, carry.examples["domain_ids"], output.right.counts
        )
        mean_loss = losses.masked_mean(answer_losses, where=output.right.counts)
        depth_state = choice.update(state.depth_state, mean_loss, self.total_steps)
        carry = advance(
            carry, (output.y, output.z), output.halt_logits, self.halting_rule, halt_key
        )
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients)}
        metrics |= batch_metrics(output, aux["weights"], carry)
        metrics |= self._depth_metrics(choice, chosen)
        state = self._update(state, gradients, carry)._replace(
            weighting_state=aux["weighting_state"],
            sampling_state=sampling_state,
            depth_state=depth_state,
        )
        return state, metrics

    def run(
        self,
        depth: StageDepth,
        state: TrainState,
        data: TrainingData,
        num_steps: jax.Array,
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Up to `num_steps` optimizer steps in one dispatch.

        The number is a traced scalar, so one program serves every distance to the next evaluation,
        checkpoint or stage. The loop ends early after a step whose loss or gradient is not finite;
        `step` of the state then says which it was.

        Args:
          depth: static.
          state: donate it.
          data: the training set on the devices, or a block of it that has batches for all steps.
          num_steps: int32 scalar.

        Returns:
          The new state and the sums of the steps' metrics, with `steps` counting them.
        """
        _, shapes = jax.eval_shape(lambda s, d: self.step(depth, s, d), state, data)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        zeros["steps"] = jnp.zeros((), jnp.int32)

        def unfinished(loop):
            _, sums = loop
            finite = jnp.isfinite(sums["loss"]) & jnp.isfinite(sums["gradient_norm"])
            return (sums["steps"] < num_steps) & finite

        def one_more(loop):
            state, sums = loop
            state, metrics = self.step(depth, state, data)
            return state, jax.tree.map(jnp.add, sums, metrics | {"steps": 1})

        return lax.while_loop(unfinished, one_more, (state, zeros))

    @property
    def _forward(self) -> Forward:
        return Forward(
            self.model, self.answer_loss, self.halting_loss_weight, self.mesh, self.microbatches
        )

    def _progress(self, state) -> jax.Array:
        return state.step.astype(jnp.float32) / self.total_steps

    def _depth_metrics(self, choice, chosen) -> dict[str, jax.Array]:
        flops = jnp.asarray([self.step_flops(each) for _, each in choice.draws], jnp.float32)
        several = {"depth_index": chosen} if len(choice.draws) > 1 else {}
        return {"model_flops": flops[chosen]} | several

    def _loss(self, params, puzzle_rows, depth, state, carry, key):
        output = self._forward(params, state.constants, puzzle_rows, carry, depth)
        loss, (weighting_state, weights) = weighting.weighted_mean(
            self.weighting,
            output.losses,
            state.weighting_state,
            where=output.right.counts,
            supervision_step=carry.supervision_step + 1,
            difficulty=carry.examples["difficulty"],
            domain_ids=carry.examples["domain_ids"],
            key=key,
        )
        return loss, {"output": output, "weights": weights, "weighting_state": weighting_state}

    def _update(self, state, gradients, carry) -> TrainState:
        gradients, row_gradients = gradients
        updates, optimizer_state = self.optimizer.update(
            gradients, state.optimizer_state, state.params
        )
        params = optax.apply_updates(state.params, updates)
        puzzle_table = optimizers.sparse_sign_sgd(
            state.puzzle_table,
            carry.examples["puzzle_identifiers"],
            row_gradients,
            self.puzzle_learning_rate(state.step),
            self.puzzle_weight_decay,
        )
        return state._replace(
            step=state.step + 1,
            params=params,
            ema_params=optax.incremental_update(params, state.ema_params, 1 - self.ema_decay),
            puzzle_table=puzzle_table,
            optimizer_state=optimizer_state,
            carry=carry,
        )
