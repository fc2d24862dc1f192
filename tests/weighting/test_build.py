"""Weightings that are built from the entries of a configuration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import weighting

HSW = "hierarchical_supervision_weighting"
LOSSES = {"answer": np.zeros(2), "halt": np.zeros(2)}
STEPS = jnp.array([1, 2])


def weights_of(entries, losses=LOSSES):
    transform = weighting.build(entries)

    @jax.jit
    def update(losses):
        weights = jax.tree.map(jnp.ones_like, losses)
        return transform.update(weights, transform.init(losses), losses, supervision_step=STEPS)[0]

    return update(losses)


def test_an_empty_list_leaves_all_weights_at_one():
    weights = weights_of([])
    np.testing.assert_array_equal(weights["answer"], 1)
    np.testing.assert_array_equal(weights["halt"], 1)


def test_entries_are_applied_in_their_order():
    # The weights of the two steps have the ratio 2 : 1, and their mean becomes 1.
    weights = weights_of([(HSW, {"decay": 0.5}), ("unit_mean_weighting", {})])
    np.testing.assert_allclose(weights["answer"], [4 / 3, 2 / 3], rtol=1e-6)


def test_an_entry_with_terms_does_not_change_other_terms():
    weights = weights_of([(HSW, {"decay": 0.5, "normalize": "none"}, ["answer"])])
    np.testing.assert_allclose(weights["answer"], [1, 0.5])
    np.testing.assert_array_equal(weights["halt"], 1)


def test_a_number_follows_the_schedule_that_a_config_names():
    schedule = ("linear_schedule", {"init_value": 0.0, "end_value": 2.0, "transition_steps": 2})
    transform = weighting.build([("focal_weighting", {"gamma": schedule}, ["answer"])])
    losses = {"answer": jnp.log(jnp.array([2.0, 4.0])), "halt": np.zeros(2, np.float32)}
    ones, state, seen = jax.tree.map(jnp.ones_like, losses), transform.init(losses), []
    for _ in range(3):
        weights, state = transform.update(ones, state, losses)
        seen.append(weights["answer"])
    np.testing.assert_allclose(seen, [[1, 1], [1 / 2, 3 / 4], [1 / 4, 9 / 16]], rtol=1e-5)


def test_an_unknown_schedule_raises_an_error_that_suggests_the_nearest():
    entry = ("focal_weighting", {"gamma": ("linear", {"init_value": 0.0})})
    with pytest.raises(ValueError, match=r"unknown optax schedule 'linear'.*'linear_schedule'"):
        weighting.build([entry])


def test_a_schedule_without_its_arguments_is_refused():
    entry = ("focal_weighting", {"gamma": ("linear_schedule", {"init_value": 0.0})})
    with pytest.raises(ValueError, match="linear_schedule needs the setting 'end_value'"):
        weighting.build([entry])


def test_a_missing_required_setting_raises_an_error_that_names_it():
    with pytest.raises(ValueError, match="comp_sum_weighting needs the setting 'tau'"):
        weighting.build([("comp_sum_weighting", {})])


def test_an_unknown_weighting_raises_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match=f"did you mean '{HSW}'"):
        weighting.build([("hierarchical_supervision_weight", {})])


def test_an_unknown_setting_raises_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'decya'; did you mean 'decay'.*'num_steps'"):
        weighting.build([(HSW, {"decya": 0.7})])


def test_an_unknown_loss_term_raises_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown loss term 'anwser'; did you mean 'answer'"):
        weights_of([(HSW, {}, ["anwser"])])


def test_terms_require_a_dictionary_of_losses():
    with pytest.raises(ValueError, match="the losses are not a dict"):
        weights_of([(HSW, {}, ["answer"])], np.zeros(2))


@pytest.mark.parametrize(
    "entry", ["unit_mean_weighting", ("unit_mean_weighting",), (HSW, {}, "answer")]
)
def test_an_entry_of_the_wrong_form_is_refused(entry):
    with pytest.raises(ValueError, match=r"\(name, settings, terms\); write|a list is expected"):
        weighting.build([entry])
