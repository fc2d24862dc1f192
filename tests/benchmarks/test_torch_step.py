"""Tests that the PyTorch step which ours is compared with trains the same model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax.curricula import Depth
from cgar_jax.models.trm import TRM
from cgar_jax.recursion import Question, supervision_step
from tests.launch import scripts

torch = pytest.importorskip("torch")
BATCH, DEPTH = 3, Depth(2, 2)
SIZES = {"vocab_size": 5, "sequence_length": 6, "hidden_size": 8, "puzzle_embedding_tokens": 1}
SIZES |= {"num_heads": 2, "inner_size_multiple": 8}


def torch_names(params):
    """Yields our parameters under PyTorch's names, with matrices transposed as PyTorch has them."""
    yield "embedding.weight", params["token_embedding"]
    yield "output_head.weight", params["output_head"].T
    yield "halting_head.weight", params["halting_head"][:, :1].T
    yield "halting_head.bias", params["halting_bias"][:1]
    mixers = {"token_mlp": "mix", "attention": "mix", "channel_mlp": "channel_mlp"}
    for layer in range(2):
        for module, matrices in params[f"layers_{layer}"].items():
            for name, matrix in matrices.items():
                yield f"layers.{layer}.{mixers[module]}.{name}.weight", matrix.T


@pytest.mark.parametrize(("mixing", "positions"), [("mlp", "none"), ("attention", "rotary")])
def test_with_the_same_parameters_both_steps_have_the_same_loss(mixing, positions):
    model = TRM(**SIZES, mixing=mixing, positions=positions)
    step = scripts.module("benchmarks/torch_step.py").TorchStep(model, DEPTH, BATCH, "cpu")
    inputs, labels = (jnp.asarray(each.numpy(), jnp.int32) for each in (step.inputs, step.labels))
    variables = model.init(jax.random.key(0), inputs, jnp.zeros(BATCH, jnp.int32))
    with torch.no_grad():
        parameters = dict(step.named_parameters())
        for name, value in torch_names(variables["params"]):
            parameters.pop(name).copy_(torch.tensor(np.array(value)))
        assert not parameters
    zeros = jnp.zeros((BATCH, *model.state_shape))
    rows = jnp.zeros((BATCH, SIZES["hidden_size"]))
    question = Question(inputs, rows)
    _, outputs = supervision_step(model, variables, question, (zeros, zeros), DEPTH)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs.logits), labels[..., None], -1)
    solved = (outputs.logits.argmax(-1) == labels).all(-1)
    halting = jax.nn.softplus(jnp.where(solved, -1, 1) * outputs.halt_logits)
    expected = -chosen.mean() + 0.5 * halting.mean()
    assert step.step() == pytest.approx(float(expected), rel=1e-4)
