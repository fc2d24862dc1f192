"""Samplings: the rows of an ordered training set that the trainer draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cgar_jax import sampling

DIFFICULTY = np.random.default_rng(0).permutation(40).astype(np.float32)
ALL = np.ones(16, bool)


def examples_drawn(drawn_by, progress=0.0, wanted=ALL, draws=50, state=None):
    """Returns the difficulties of several draws, `[draws, batch]`, and the state afterwards."""
    difficulty = DIFFICULTY[np.asarray(drawn_by.order(DIFFICULTY))]

    @jax.jit
    def draw(state, key):
        request = sampling.Request(
            key, jnp.float32(progress), jnp.arange(len(difficulty)), jnp.array(wanted)
        )
        return drawn_by.draw(state, request)

    state, drawn = drawn_by.init() if state is None else state, []
    for key in jax.random.split(jax.random.key(0), draws):
        rows, state = draw(state, key)
        drawn.append(difficulty[rows])
    return np.stack(drawn), state


def test_uniform_sampling_draws_every_example():
    drawn, _ = examples_drawn(sampling.uniform_sampling())
    assert set(drawn.flat) == set(DIFFICULTY)


def test_pacing_draws_the_easiest_fifth_at_first():
    drawn, _ = examples_drawn(sampling.pacing_subset_sampling(start_fraction=0.2))
    assert set(drawn.flat) == set(range(8))


def test_pacing_draws_every_example_in_the_end():
    drawn, _ = examples_drawn(sampling.pacing_subset_sampling(full_at=0.8), progress=0.8)
    assert set(drawn.flat) == set(range(40))


def test_pacing_in_anti_order_draws_the_hardest_at_first():
    drawn, _ = examples_drawn(sampling.pacing_subset_sampling(0.2, order="anti"))
    assert set(drawn.flat) == set(range(32, 40))


def test_pruned_sampling_draws_the_hardest_except_the_dropped_ones():
    drawn, _ = examples_drawn(sampling.score_pruned_sampling(keep=0.5, drop_top=0.1))
    assert set(drawn.flat) == set(range(16, 36))


def test_folding_visits_every_example_in_order():
    drawn, _ = examples_drawn(sampling.folding_sampling(folds=2), draws=5)
    folded = [*range(0, 40, 2), *range(1, 40, 2)]
    np.testing.assert_array_equal(drawn.ravel(), folded + folded)


def test_folding_skips_no_example_when_only_some_slots_need_one():
    wanted = np.arange(16) % 3 == 0
    drawn, position = examples_drawn(sampling.folding_sampling(folds=1), wanted=wanted, draws=4)
    np.testing.assert_array_equal(drawn[:, wanted].ravel(), range(24))
    assert position == 24


def test_odm_draws_uniformly_from_all_levels_during_the_warm_up():
    drawn, _ = examples_drawn(sampling.odm_sampling(num_domains=4), draws=100)
    counts = np.bincount(drawn.astype(int).ravel() // 10)
    assert counts.min() > 0.8 * counts.mean()
    assert set(drawn.flat) == set(range(40))


def test_odm_draws_more_from_the_level_with_the_higher_losses():
    drawn_by = sampling.odm_sampling(num_domains=4, smoothing=None, warmup_steps=0)
    state = drawn_by.init()
    domain_ids = np.arange(16) % 4
    for _ in range(40):
        state = drawn_by.update(state, 5.0 * (domain_ids == 2), domain_ids, ALL)
    drawn, _ = examples_drawn(drawn_by, state=state, draws=100)
    counts = np.bincount(drawn.astype(int).ravel() // 10)
    assert counts.argmax() == 2
    assert counts[2] > 1.1 * np.delete(counts, 2).max()


@pytest.mark.parametrize("name", sorted(sampling.BATCH_SAMPLINGS))
def test_the_same_key_gives_the_same_draw(name):
    settings = {"score_pruned_sampling": {"keep": 0.5}}.get(name, {})
    drawn_by = sampling.build(name, **settings)
    first, _ = examples_drawn(drawn_by, draws=3)
    np.testing.assert_array_equal(first, examples_drawn(drawn_by, draws=3)[0])


def test_an_unknown_name_suggests_the_nearest_sampling():
    with pytest.raises(ValueError, match="did you mean 'odm_sampling'"):
        sampling.build("odm_sample")


def test_a_missing_setting_without_default_raises_an_error():
    with pytest.raises(ValueError, match="score_pruned_sampling needs the setting 'keep'"):
        sampling.build("score_pruned_sampling")
