import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import weighting
from tests.weighting.updating import weights_of

LOSSES = np.array([[3.0, 1.0, 2.0], [0.5, 0.5, 0.7]], np.float32)


def test_the_mean_is_that_of_the_smallest_losses():
    winner = weighting.winner_takes_all_weighting()
    loss, _ = weighting.weighted_mean(winner, jnp.asarray(LOSSES), winner.init(LOSSES))
    assert loss == pytest.approx(LOSSES.min(axis=1).mean())


def test_a_masked_attempt_cannot_win():
    where = np.array([[True, False, True], [True, True, True]])
    weights = weights_of(weighting.winner_takes_all_weighting(), LOSSES, where=where)
    np.testing.assert_array_equal(weights, [[0, 0, 2], [3, 0, 0]])


def test_relaxation_divides_its_share_among_the_others():
    winner = weighting.winner_takes_all_weighting(relaxation=0.2)
    np.testing.assert_allclose(weights_of(winner, LOSSES)[0], [0.3, 2.4, 0.3], rtol=1e-6)


def test_a_single_attempt_has_all_the_weight():
    winner = weighting.winner_takes_all_weighting(relaxation=0.2)
    np.testing.assert_array_equal(weights_of(winner, LOSSES[:, :1]), [[1], [1]])


def test_losses_without_attempts_are_refused():
    with pytest.raises(ValueError, match=r"\[batch, attempts\]"):
        weights_of(weighting.winner_takes_all_weighting(), LOSSES[0])
