"""Rotary positions on a line and on a board."""

import jax
import numpy as np

from cgar_jax.layers import board_angles, rotary_angles, rotate

X = jax.random.normal(jax.random.key(0), (3, 6, 8))  # six cells: two rows of three


def scores(parts):
    angles = board_angles(width=3, length=6, head_size=8)
    query, key = (rotate(X[:1, :1].repeat(6, 1) * k, angles, parts) for k in (1.0, 2.0))
    return np.asarray(query[0] @ key[0].T)


def test_scores_of_equal_features_depend_on_the_distance_in_rows_and_columns_only():
    for parts in (1, 2):
        found = scores(parts)
        np.testing.assert_allclose(found[0, 1], found[4, 5], rtol=1e-5)  # one column apart
        np.testing.assert_allclose(found[0, 3], found[2, 5], rtol=1e-5)  # one row apart
        assert abs(found[0, 1] - found[0, 3]) > 1e-3


def test_two_parts_rotate_each_half_of_the_head_on_its_own():
    angles = board_angles(width=3, length=6, head_size=8)
    line = rotary_angles(3, 4)
    rows, columns = np.divmod(np.arange(6), 3)
    expected = np.concatenate(
        [rotate(X[..., :4], line[rows]), rotate(X[..., 4:], line[columns])], axis=-1
    )
    np.testing.assert_allclose(rotate(X, angles, parts=2), expected, rtol=1e-6)


def test_a_rotation_keeps_the_length_of_a_vector():
    turned = rotate(X, board_angles(width=3, length=6, head_size=8), parts=2)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=-1), np.linalg.norm(X, axis=-1), rtol=1e-5
    )
