"""The training step: draw examples, run one supervision step of every slot, update the parameters.

`TrainStep` holds the settings that are fixed during a run, and `TrainStep.run` performs many steps
in one dispatch. Depth is a static argument: the loop compiles one program per curriculum stage. The
form of supervision, such as `cgar_jax.training.deep_supervision`, defines what a slot carries,
computes and learns; `cgar_jax.training.forward` runs it over the mesh.
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
from cgar_jax.curricula import Depth, DepthCurriculum, StageDepth, as_depth_choice
from cgar_jax.data import schema
from cgar_jax.mesh import over_batch
from cgar_jax.models import Model, puzzle_rows
from cgar_jax.sampling import Request, Sampling
from cgar_jax.training.feed import TrainingBlock, TrainingSet
from cgar_jax.training.forward import Forward
from cgar_jax.training.state import TrainState, variables
from cgar_jax.training.step_metrics import loss_metrics
from cgar_jax.training.supervision import Supervision

Examples = dict[str, jax.Array]
TrainingData = TrainingSet | TrainingBlock


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The fixed settings of a training run, and the pure functions that train with them.

    Attributes:
      supervision: form of supervision, with the model and its losses.
      optimizer: optimizer of all parameters except the puzzle embedding.
      weighting: weighting of the per-example losses of the supervision's loss terms.
      sampling: rule that chooses the examples of each batch.
      curriculum: depth curriculum.
      total_steps: optimizer steps of the whole run; defines the progress that sampling and
        curriculum follow.
      batch_size: number of slots.
      ema_decay: decay of the moving average of the parameters.
      puzzle_learning_rate: schedule `step -> learning rate` of the puzzle embedding's sign-SGD.
      puzzle_weight_decay: weight decay of the puzzle embedding.
      mesh: devices that share the batch; results depend on the mesh only through the order in which
        numbers are summed.
      microbatches: number of parts in which each device processes its share of the batch, one
        after the other; only the activations of one part are kept for the gradient.
    """

    supervision: Supervision
    optimizer: optax.GradientTransformation
    weighting: optax.GradientTransformationExtraArgs
    sampling: Sampling
    curriculum: DepthCurriculum
    total_steps: int
    batch_size: int
    ema_decay: float
    puzzle_learning_rate: Callable[[jax.Array], jax.Array]
    puzzle_weight_decay: float
    mesh: Mesh
    microbatches: int = 1

    @property
    def model(self) -> Model:
        """The model."""
        return self.supervision.model

    def init(self, key: jax.Array, sequence_length: int) -> TrainState:
        """Returns the state before the first step, for examples of `sequence_length` cells."""
        init_key, run_key = jax.random.split(key)
        examples = {
            column.name: jnp.zeros((self.batch_size, *column.shape(sequence_length)), column.dtype)
            for column in schema.CARRIED_COLUMNS
        }
        collections = self.model.init(init_key, examples["inputs"], examples["puzzle_identifiers"])
        params = collections["params"]
        losses_like = {name: jnp.zeros(self.batch_size) for name in self.supervision.loss_terms}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            key=run_key,
            params=params,
            # A copy, because a donated state must not hold one buffer twice.
            ema_params=jax.tree.map(lambda p: jnp.array(p, jnp.float32, copy=True), params),
            constants=collections.get("constants", {}),
            puzzle_table=collections["puzzle_embedding"]["table"],
            optimizer_state=self.optimizer.init(params),
            weighting_state=self.weighting.init(losses_like),
            sampling_state=self.sampling.init(),
            depth_state=self.curriculum.init(self.total_steps),
            carry=self.supervision.initial_slots(examples),
        )

    def step_flops(self, depth: StageDepth) -> float:
        """Returns the model FLOPs of one optimizer step.

        Only matrix products count, and a backward pass counts as two forward passes.

        Args:
          depth: depth of the step; if it stands for several depths, the result is their mean.
        """
        network = self.model.network_flops()
        heads = 3 * self.model.heads_flops() * self.model.num_hypotheses

        def per_example(drawn: Depth) -> float:
            supervision = self.supervision
            with_gradient = supervision.calls_with_gradient(drawn)
            calls = supervision.network_calls(drawn) + 2 * with_gradient
            return calls * network + drawn.num_exits * heads

        draws = as_depth_choice(depth).draws
        return self.batch_size * sum(share * per_example(drawn) for share, drawn in draws)

    def draw(self, key: jax.Array, state: TrainState, data: TrainingData) -> tuple[Examples, Any]:
        """Draws a batch of fresh examples on the device and augments it.

        From a `TrainingBlock`, this is the batch that was laid out for the current step.

        Returns:
          The examples, and the new state of the sampling.
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
        # The training set is on every device, but each device augments only its own share.
        examples = lax.with_sharding_constraint(examples, over_batch(self.mesh))
        return data.augment(augment_key, examples), sampling_state

    def step(
        self, depth: StageDepth, state: TrainState, data: TrainingData
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Performs one optimizer step; returns the new state and metrics for `finish_metrics`."""
        key = jax.random.fold_in(state.key, state.step)
        draw_key, halt_key = jax.random.split(key)
        # In JAX, split(key, 2) equals fold_in(key, 0) and fold_in(key, 1), so 2 to 4 are unused.
        depth_key, weighting_key, fresh_key = (jax.random.fold_in(key, data) for data in (2, 3, 4))
        fresh, sampling_state = self.draw(draw_key, state, data)
        model_variables = variables(state.params, state.constants)
        carry = self.supervision.refill(state.carry, fresh, model_variables, fresh_key)

        def gradient_at(depth):
            return lambda: jax.value_and_grad(self._loss, (0, 1), has_aux=True)(
                state.params,
                puzzle_rows(state.puzzle_table, carry.examples["puzzle_identifiers"]),
                depth,
                state,
                carry,
                weighting_key,
            )

        choice = as_depth_choice(depth)
        chosen = choice.choose(state.depth_state, depth_key, self._progress(state))
        branches = [gradient_at(each) for _, each in choice.draws]
        (loss, aux), gradients = lax.switch(chosen, branches)
        output, before = aux["output"], carry
        answer_losses = output.losses[self.supervision.loss_terms[0]]
        sampling_state = self.sampling.update(
            sampling_state, answer_losses, carry.examples["domain_ids"], output.right.counts
        )
        mean_loss = losses.masked_mean(answer_losses, where=output.right.counts)
        depth_state = choice.update(state.depth_state, mean_loss, self.total_steps)
        carry = self.supervision.advance(carry, output, halt_key)
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients)}
        metrics |= loss_metrics(output.losses, aux["info"])
        metrics |= self.supervision.metrics(before, output, carry)
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
        """Performs up to `num_steps` optimizer steps in one dispatch.

        The number of steps is a traced scalar, so one compiled program serves dispatches of any
        length. The loop ends early after a step whose loss or gradient is not finite; the state's
        `step` then counts that step as its last one.

        Args:
          depth: depth of the recursion (static).
          state: state before the dispatch; donate its buffers.
          data: training set on the devices, or a block with a batch for each of the steps.
          num_steps: number of optimizer steps, int32 scalar.

        Returns:
          The new state, and the sums of the steps' metrics, in which `steps` is their count.
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
        return Forward(self.supervision, self.mesh, self.microbatches)

    def _progress(self, state) -> jax.Array:
        return state.step.astype(jnp.float32) / self.total_steps

    def _depth_metrics(self, choice, chosen) -> dict[str, jax.Array]:
        flops = jnp.asarray([self.step_flops(each) for _, each in choice.draws], jnp.float32)
        several = {"depth_index": chosen} if len(choice.draws) > 1 else {}
        return {"model_flops": flops[chosen]} | several

    def _loss(self, params, puzzle_rows, depth, state, carry, key):
        output = self._forward(params, state.constants, puzzle_rows, carry, depth)
        loss, (weighting_state, info) = weighting.weighted_mean(
            self.weighting,
            output.losses,
            state.weighting_state,
            where=output.right.counts,
            supervision_step=self.supervision.loss_steps(carry, depth),
            # Before halted slots were refilled, as the published code of CGAR counts.
            incoming_steps=state.carry.supervision_step,
            difficulty=carry.examples["difficulty"],
            domain_ids=carry.examples["domain_ids"],
            key=key,
        )
        # Several depths of one stage can have different numbers of exits, so only means go on.
        means = {name: _mean_over_exits(values) for name, values in output.losses.items()}
        output = output._replace(losses=means)
        return loss, {"output": output, "info": info, "weighting_state": weighting_state}

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


def _mean_over_exits(values: jax.Array) -> jax.Array:
    """Returns losses `[batch]` of losses `[batch]` or `[batch, exits]`."""
    return values if values.ndim == 1 else values.mean(-1)
