import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cgar_jax.metrics import wilson_interval


@pytest.mark.parametrize(
    ("num_right", "num", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1),
    ],
)
def test_the_interval_is_wilsons_as_newcombe_tabulates_it(num_right, num, low, high):
    assert wilson_interval(num_right, num) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 100_000), st.floats(0, 1), st.floats(0.5, 0.999))
def test_the_interval_equals_scipys(num, share, confidence):
    num_right = round(share * num)
    test = stats.binomtest(num_right, num)
    expected = test.proportion_ci(confidence_level=confidence, method="wilson")
    found = wilson_interval(num_right, num, confidence)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


def test_without_examples_nothing_is_known():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 2), "num_right is 3, but it must be between 0 and num, 2"),
        ((-1, 2), "num_right is -1"),
        ((1, 2, 1.0), r"confidence is 1.0, but it must be in \(0, 1\)"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)
