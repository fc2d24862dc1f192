"""The training step with every sampling, and with stateful weightings."""

import functools

import chex
import jax
import ml_collections
import numpy as np
import pytest

from cgar_jax.curricula import Depth
from cgar_jax.sampling import BATCH_SAMPLINGS
from cgar_jax.training.checkpoints import Checkpoints
from cgar_jax.training.clock import Clock
from tests.training import problem

STEPS = {}  # jitted, by config


def trained(steps, state=None, **changes):
    pieces, dataset, fresh = problem.build(**changes)
    config = pieces.config.to_json()
    if config not in STEPS:
        STEPS[config] = jax.jit(functools.partial(pieces.train_step.step, Depth(1, 1)))
    step = STEPS[config]
    state = fresh if state is None else state
    for _ in range(steps):
        state, metrics = step(state, dataset)
    return pieces, jax.device_get(state), metrics


def sampling(name, **settings):
    return ml_collections.ConfigDict({"name": name} | settings)


@pytest.mark.parametrize("name", sorted(BATCH_SAMPLINGS))
def test_every_sampling_trains(name):
    settings = {"score_pruned_sampling": {"keep": 0.5}}.get(name, {})
    _, state, metrics = trained(2, sampling=sampling(name, **settings))
    assert state.step == 2
    assert np.isfinite(metrics["loss"])


def test_pruned_examples_are_not_copied_to_the_devices():
    pieces, _, _ = problem.build(sampling=sampling("score_pruned_sampling", keep=0.5))
    assert len(pieces.on_device(problem.examples(40)).examples["inputs"]) == 20


def test_domains_are_equal_groups_of_examples_from_easy_to_hard():
    pieces, _, _ = problem.build(data__num_domains=4)
    examples = problem.examples(40) | {"difficulty": np.arange(40, 0, -1, np.float32)}
    np.testing.assert_array_equal(
        pieces.on_device(examples).examples["domain_ids"], np.arange(40)[::-1] // 10
    )


def test_the_states_of_sampling_and_weighting_are_restored_from_a_checkpoint(tmp_path):
    changes = {
        "sampling": sampling("odm_sampling", warmup_steps=0),
        "weighting": (("progressive_hardness_weighting", {"hardness": 0.5, "statistics": "ema"}),),
    }
    pieces, whole, _ = trained(4, **changes)
    _, half, _ = trained(2, **changes)
    with Checkpoints(tmp_path, {}, keep=1) as checkpoints:
        checkpoints.save(jax.device_put(half), 2, Clock())
    with Checkpoints(tmp_path, {}, keep=1) as checkpoints:
        restored = checkpoints.restore(pieces.abstract_state()).state
    _, resumed, _ = trained(2, state=restored, **changes)
    chex.assert_trees_all_equal(whole.sampling_state, resumed.sampling_state)
    chex.assert_trees_all_equal(whole.weighting_state, resumed.weighting_state)
    chex.assert_trees_all_equal(whole.params, resumed.params)


def test_a_chain_of_weightings_logs_statistics_of_its_weights():
    chain = (
        ("loss_based_weighting", {"burn_in_steps": 0}),
        ("focal_weighting", {"gamma": 1.0}, ["answer"]),
    )
    _, _, metrics = trained(1, weighting=chain)
    assert metrics["answer_weight_min"] < metrics["answer_weight_max"]
    assert metrics["answer_weight_effective_sample_size"] < 16
    np.testing.assert_allclose(metrics["halt_weight_mean"], 1, rtol=1e-5)


def test_a_weighting_that_needs_an_unavailable_argument_is_an_error():
    chain = (("doremi_domain_weighting", {"num_domains": 10}),)
    with pytest.raises(ValueError, match=r"doremi_domain_weighting.*'reference_losses' is missing"):
        trained(1, weighting=chain)


def test_a_number_of_domains_that_differs_from_the_data_is_an_error():
    with pytest.raises(ValueError, match=r"num_domains is 3 .* config.data.num_domains is 10"):
        problem.build(sampling=sampling("odm_sampling", num_domains=3))
