"""Mixers next to their formulas, and the domains drawn from them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from cgar_jax import sampling

SKILLS = 4
GRAPH = np.array([[1, 0.5, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0.5], [0.25, 0, 0, 1]], np.float32)
RATE = 0.4

losses_of_skills = hnp.arrays(np.float32, SKILLS, elements=st.floats(0, 5, width=32))


def compiled(mixer):
    return mixer._replace(update=jax.jit(mixer.update), probabilities=jax.jit(mixer.probabilities))


def after(mixer, *rounds):
    """Returns the state of a mixer after these rounds, each a tuple of arguments."""
    state = mixer.init()
    for arguments in rounds:
        state = mixer.update(state, *arguments)
    return state


@functools.partial(jax.jit, static_argnames=("window", "over_window"))
def skill_it(rounds, graph=GRAPH, rate=RATE, prior=None, **settings):
    """Returns the probabilities after these rounds of losses, `[rounds, targets]`."""
    mixer = sampling.skill_it_mixer(graph, rate, prior=prior, **settings)
    return mixer.probabilities(after(mixer, *((losses,) for losses in rounds)))


@given(losses_of_skills)
def test_skill_probabilities_sum_to_one(losses):
    probabilities = skill_it([losses])
    assert np.all(probabilities >= 0)
    np.testing.assert_allclose(np.sum(probabilities), 1, rtol=1e-5)


def test_a_learning_rate_of_zero_leaves_the_prior():
    prior = np.array([1.0, 2.0, 3.0, 4.0])
    found = skill_it([np.array([1.0, 5.0, 2.0, 0.0])], rate=0.0, prior=prior)
    np.testing.assert_allclose(found, prior / 10, rtol=1e-6)


@pytest.mark.parametrize(
    ("graph", "first_losses"),
    [(GRAPH, [1.0, 2.0, 3.0, 4.0]), (GRAPH[:, :3], [1.0, 1.0, 1.0])],
    ids=["every skill a target", "fewer targets"],
)
def test_the_first_round_takes_the_prior_for_the_losses_if_every_skill_is_a_target(
    graph, first_losses
):
    prior = np.array([1.0, 2.0, 3.0, 4.0])
    weights = prior * np.exp(RATE * graph @ np.array(first_losses))
    found = skill_it([], graph=graph, prior=prior)
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-5)


@given(losses_of_skills)
def test_skills_that_help_only_themselves_follow_their_own_loss(losses):
    identity = np.eye(SKILLS, dtype=np.float32)
    found = skill_it([np.full(SKILLS, 3.0), losses], graph=identity, window=1)
    np.testing.assert_allclose(found, special.softmax(RATE * losses), rtol=1e-4)


@given(losses_of_skills, losses_of_skills)
def test_a_higher_loss_favors_the_skills_that_help_its_target_more(losses, raised):
    before, now = skill_it([losses]), skill_it([np.maximum(losses, raised)])
    gain = np.log(now) - np.log(before)
    pull = GRAPH @ (np.maximum(losses, raised) - losses)
    np.testing.assert_allclose(gain - gain[0], RATE * (pull - pull[0]), atol=1e-4)


def test_a_skill_can_lose_probability_although_a_target_it_helps_became_harder():
    graph = np.array([[1.0, 0.0], [0.5, 1.0]])
    before, now = skill_it([np.ones(2)], graph=graph), skill_it([np.array([3.0, 1.0])], graph=graph)
    assert graph[1, 0] > 0
    assert now[1] < before[1]


@given(losses_of_skills, st.floats(-3, 3))
def test_a_constant_added_to_all_losses_changes_nothing_if_all_rows_sum_alike(losses, constant):
    graph = np.array([[1, 0.5, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0.5], [0.5, 0, 0, 1]], np.float32)
    found = skill_it([losses + np.float32(constant)], graph=graph)
    np.testing.assert_allclose(found, skill_it([losses], graph=graph), rtol=1e-4)


def test_a_constant_added_to_all_losses_matters_if_the_rows_do_not_sum_alike():
    found = [skill_it([np.full(SKILLS, constant)]) for constant in (1.0, 2.0)]
    assert GRAPH.sum(1)[3] < GRAPH.sum(1)[0]
    assert found[1][3] < found[0][3]


def test_before_the_first_round_every_loss_is_one():
    np.testing.assert_allclose(skill_it([]), special.softmax(RATE * GRAPH.sum(1)), rtol=1e-6)


@pytest.mark.parametrize("over_window", ["sum", "mean"])
@pytest.mark.parametrize("num_rounds", [1, 2, 3, 5, 7])
def test_only_the_last_rounds_count(over_window, num_rounds):
    rounds = np.random.default_rng(0).uniform(0, 2, (num_rounds, SKILLS)).astype(np.float32)
    recent = getattr(np, over_window)(rounds[-3:], axis=0)
    found = skill_it(list(rounds), window=3, over_window=over_window)
    np.testing.assert_allclose(found, special.softmax(RATE * GRAPH @ recent), rtol=1e-5)


def test_targets_may_differ_from_the_skills():
    graph = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.25]], np.float32)
    losses = np.array([2.0, 1.0], np.float32)
    found = skill_it([losses], graph=graph)
    np.testing.assert_allclose(found, special.softmax(RATE * graph @ losses), rtol=1e-6)


def test_a_skill_with_zero_prior_is_never_drawn():
    assert skill_it([np.array([1.0, 9.0, 1.0, 1.0])], prior=np.array([1.0, 0.0, 1.0, 1.0]))[1] == 0


def test_a_skill_that_was_not_evaluated_keeps_its_last_loss():
    mixer = compiled(sampling.skill_it_mixer(GRAPH, RATE))
    first, where = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True])
    state = mixer.update(mixer.init(), first)
    hidden = mixer.update(state, np.array([0.5, np.nan, 2.0, 3.0]), where=where)
    known = mixer.update(state, np.array([0.5, 2.0, 2.0, 3.0]))
    np.testing.assert_array_equal(mixer.probabilities(hidden), mixer.probabilities(known))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"graph": np.ones(3)}, r"graph has shape \(3,\)"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"window": 0}, "window is 0"),
        ({"prior": np.ones(3)}, r"prior has shape \(3,\)"),
        ({"over_window": "max"}, "unknown over_window 'max'"),
    ],
)
def test_an_invalid_setting_of_the_skill_mixer_raises_an_error(arguments, match):
    with pytest.raises(ValueError, match=match):
        sampling.skill_it_mixer(**{"graph": GRAPH, "learning_rate": RATE} | arguments)


def test_a_wrong_number_of_target_losses_raises_an_error():
    mixer = sampling.skill_it_mixer(GRAPH, RATE)
    with pytest.raises(ValueError, match=r"losses has shape \(3,\)"):
        mixer.update(mixer.init(), np.ones(3))


DOMAINS = 3


@functools.cache
def online(smoothing=0.9, warmup_steps=0):
    return compiled(sampling.odm_mixer(DOMAINS, smoothing, warmup_steps))


def test_exp3_worked_by_hand():
    # There are two domains and batches of one. After update t, e_t = min(1/2, sqrt(ln 2 / (2 t))).
    # Update 1: loss 1 from domain 0, probability 1/2: R = (2, 0); e_1 = 1/2 is uniform.
    # Update 2: loss 3 from domain 1, probability 1/2: R = (2, 6); e_2 = 0.416277,
    #    p_1 = (1 - 2 e_2) / (1 + exp(e_1 (2 - 6))) + e_2 = 0.563763.
    # Update 3: loss 2 from domain 1: R = (2, 6 + 2 / p_1); e_3 = 0.339889.
    mixer = compiled(sampling.odm_mixer(2, smoothing=None, warmup_steps=0))
    state = mixer.init()
    np.testing.assert_allclose(mixer.probabilities(state), [0.5, 0.5], rtol=1e-6)
    state = mixer.update(state, np.array([1.0]), np.array([0]))
    np.testing.assert_allclose(mixer.probabilities(state), [0.5, 0.5], rtol=1e-6)
    state = mixer.update(state, np.array([3.0]), np.array([1]))
    np.testing.assert_allclose(state.rewards, [2, 6], rtol=1e-6)
    np.testing.assert_allclose(mixer.probabilities(state), [0.436237, 0.563763], rtol=1e-5)
    state = mixer.update(state, np.array([2.0]), np.array([1]))
    np.testing.assert_allclose(state.rewards, [2, 9.547591], rtol=1e-5)
    expected = (1 - 2 * 0.339889) / (1 + math.exp(0.416277 * (2 - 9.547591))) + 0.339889
    np.testing.assert_allclose(mixer.probabilities(state)[1], expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [None, 0.9])
def test_probabilities_agree_with_a_plain_implementation_of_the_algorithm(smoothing):
    random = np.random.default_rng(0)
    draws = [(random.uniform(0, 4), random.integers(DOMAINS)) for _ in range(40)]
    mixer = online(smoothing)
    state, rewards = mixer.init(), np.zeros(DOMAINS)
    probabilities, rate, next_rate = np.full(DOMAINS, 1 / DOMAINS), 1 / DOMAINS, 1 / DOMAINS
    for t, (loss, domain) in enumerate(draws, 1):
        reward = loss / probabilities[domain]
        kept, added = (1, 1) if smoothing is None else (smoothing, 1 - smoothing)
        rewards[domain] = kept * rewards[domain] + added * reward
        rate, next_rate = next_rate, min(1 / DOMAINS, math.sqrt(math.log(DOMAINS) / DOMAINS / t))
        powers = np.exp(rate * rewards)
        probabilities = (1 - DOMAINS * next_rate) * powers / powers.sum() + next_rate
        state = mixer.update(state, np.array([loss]), np.array([domain]))
        np.testing.assert_allclose(mixer.probabilities(state), probabilities, rtol=1e-4)


@given(
    hnp.arrays(np.float32, DOMAINS, elements=st.floats(-1e4, 1e4, width=32)),
    st.integers(0, 10**6),
)
def test_each_probability_is_above_the_floor_and_they_sum_to_one(rewards, count):
    probabilities = online().probabilities(sampling.OnlineMixingState(rewards, np.int32(count)))
    floor = min(1 / DOMAINS, math.sqrt(math.log(DOMAINS) / DOMAINS / max(count, 1)))
    assert np.all(probabilities >= floor * (1 - 1e-5))
    np.testing.assert_allclose(np.sum(probabilities), 1, rtol=1e-5)


def test_a_single_domain_has_probability_one():
    mixer = compiled(sampling.odm_mixer(1, warmup_steps=0))
    state = after(mixer, *[(np.array([2.0]), np.array([0]))] * 5)
    np.testing.assert_allclose(mixer.probabilities(state), [1])


def test_probabilities_stay_uniform_during_the_warm_up_while_rewards_are_learned():
    mixer, batch = online(None, warmup_steps=4), (np.array([3.0, 1.0]), np.array([0, 1]))
    even, late = after(mixer, *[batch] * 3), after(mixer, *[batch] * 4)
    np.testing.assert_allclose(mixer.probabilities(even), np.full(DOMAINS, 1 / DOMAINS))
    np.testing.assert_allclose(late.rewards, [4 * 1.5 * DOMAINS, 4 * 0.5 * DOMAINS, 0], rtol=1e-6)
    assert mixer.probabilities(late)[0] > mixer.probabilities(late)[1]


def test_the_warm_up_takes_2000_updates_by_default():
    mixer, rewards = sampling.odm_mixer(2), jnp.array([3.0, 0.0])
    during, after = (sampling.OnlineMixingState(rewards, jnp.int32(n)) for n in (1999, 2000))
    np.testing.assert_array_equal(mixer.probabilities(during), 0.5)
    assert mixer.probabilities(after)[0] > 0.5


@pytest.mark.parametrize("smoothing", [None, 0.9])
def test_a_domain_that_is_not_in_the_batch_keeps_its_reward(smoothing):
    mixer = online(smoothing)
    before = after(mixer, (np.array([1.0, 2.0, 3.0]), np.arange(3)))
    now = mixer.update(before, np.array([4.0, 5.0]), np.array([0, 2]))
    assert now.rewards[1] == before.rewards[1]
    assert now.rewards[0] != before.rewards[0]


SOME_STATE = sampling.OnlineMixingState(np.array([3.0, 0.0, 1.0], np.float32), np.int32(50))


def test_the_expected_reward_of_each_domain_is_its_loss():
    mixer, losses = online(None), np.array([1.0, 2.0, 4.0])
    drawn = [mixer.update(SOME_STATE, losses[[i]], np.array([i])) for i in range(3)]
    rewards = np.array([state.rewards - SOME_STATE.rewards for state in drawn])
    expected = mixer.probabilities(SOME_STATE) @ rewards
    np.testing.assert_allclose(expected, losses, rtol=1e-5)


def test_the_reward_of_a_batch_is_the_mean_of_the_rewards_of_its_examples():
    mixer = online(None)
    losses, domains = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0, 2, 2, 1])
    one_by_one = [mixer.update(SOME_STATE, losses[[i]], domains[[i]]).rewards for i in range(4)]
    found = mixer.update(SOME_STATE, losses, domains).rewards
    np.testing.assert_allclose(found, np.mean(one_by_one, axis=0), rtol=1e-6)


def test_the_order_of_the_batch_does_not_matter():
    mixer, losses, domains = online(), np.arange(6.0), np.array([0, 1, 2, 0, 1, 0])
    found = after(mixer, (losses[::-1], domains[::-1]))
    np.testing.assert_allclose(found.rewards, after(mixer, (losses, domains)).rewards, rtol=1e-6)


@pytest.mark.parametrize("garbage", [np.nan, 7.0])
def test_examples_that_do_not_count_change_nothing(garbage):
    mixer, domains = online(), np.array([0, 1, 0, -1, 3, 2])
    losses = np.array([1.0, 2.0, garbage, garbage, garbage, garbage])
    where = np.array([True, True, False, True, True, False])
    found = mixer.update(mixer.init(), losses, domains, where=where)
    expected = mixer.update(mixer.init(), losses[:2], domains[:2])
    np.testing.assert_array_equal(found.rewards, expected.rewards)


@pytest.mark.parametrize("size", [0, 4])
def test_a_batch_without_valid_examples_leaves_the_rewards_unchanged(size):
    mixer = online()
    before = after(mixer, (np.ones(3), np.arange(3)))
    now = mixer.update(before, np.ones(size), np.zeros(size, int), where=np.zeros(size, bool))
    np.testing.assert_array_equal(now.rewards, before.rewards)


def long_run(smoothing, steps=20_000):
    """Returns the probabilities after a long run in which the losses of the domains stay apart."""
    mixer, losses = online(smoothing), jnp.array([1.0, 2.0, 1.5])

    def step(state, key):
        domain = sampling.draw_domains(key, mixer.probabilities(state), 1)
        return mixer.update(state, losses[domain], domain), None

    keys = jax.random.split(jax.random.key(1), steps)
    return mixer.probabilities(jax.jit(lambda: jax.lax.scan(step, mixer.init(), keys)[0])())


def test_summed_rewards_favor_the_highest_loss_in_the_long_run():
    assert long_run(None)[1] > 0.9


def test_smoothed_rewards_return_to_a_uniform_mixture_in_the_long_run():
    np.testing.assert_allclose(long_run(0.9), 1 / 3, atol=0.03)


def test_a_mixer_inside_a_training_step_does_not_change_the_gradient():
    mixer, examples, domains = online(), np.arange(6.0), np.array([0, 1, 2, 0, 1, 0])

    def loss_fn(weight, state):
        losses = jnp.square(weight * examples - 1)
        return losses.mean(), mixer.update(state, losses, domains)

    @jax.jit
    def step(weight, state):
        return jax.grad(loss_fn, has_aux=True)(weight, state)

    gradient, state = step(0.5, mixer.init())
    np.testing.assert_allclose(gradient, np.mean(2 * examples * (0.5 * examples - 1)), rtol=1e-6)
    expected = mixer.update(mixer.init(), np.square(0.5 * examples - 1), domains)
    np.testing.assert_allclose(state.rewards, expected.rewards, rtol=1e-6)
    through = jax.grad(lambda weight: loss_fn(weight, mixer.init())[1].rewards.sum())(0.5)
    assert through == 0


def test_a_batch_split_over_a_named_axis_equals_one_batch():
    losses, domains = np.arange(8.0, dtype=np.float32), np.array([0, 1, 2, 0, 1, 0, 0, 2])
    where = np.arange(8) != 3
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = sampling.odm_mixer(DOMAINS, 0.9, 0, axis_name="data"), online()
    state = after(whole, (losses, domains))
    spec = jax.sharding.PartitionSpec("data")
    update = jax.shard_map(
        lambda losses, domains, where: split.update(state, losses, domains, where=where),
        mesh=mesh,
        in_specs=(spec, spec, spec),
        out_specs=jax.sharding.PartitionSpec(),
    )
    found = jax.jit(update)(losses, domains, where)
    expected = whole.update(state, losses, domains, where=where)
    np.testing.assert_allclose(found.rewards, expected.rewards, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"num_domains": 0}, "num_domains is 0"),
        ({"smoothing": 1.0}, "smoothing is 1.0"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
    ],
)
def test_an_invalid_setting_of_the_online_mixer_raises_an_error(arguments, match):
    with pytest.raises(ValueError, match=match):
        sampling.odm_mixer(**{"num_domains": 3} | arguments)


@pytest.mark.parametrize(
    ("losses", "domains", "match"),
    [((2, 3), (2, 3), "losses has shape"), ((4,), (3,), "domain_ids has shape")],
)
def test_losses_and_domains_of_wrong_shapes_raise_an_error(losses, domains, match):
    mixer = online()
    with pytest.raises(ValueError, match=match):
        mixer.update(mixer.init(), np.zeros(losses), np.zeros(domains, int))


def test_domains_are_drawn_with_their_probabilities():
    probabilities = np.array([0.6, 0.3, 0.1])
    drawn = sampling.draw_domains(jax.random.key(0), probabilities, (100, 200))
    assert drawn.shape == (100, 200)
    counts = np.bincount(np.ravel(drawn), minlength=3)
    assert stats.chisquare(counts, 20_000 * probabilities).pvalue > 1e-3


def test_a_domain_of_probability_zero_is_never_drawn():
    drawn = sampling.draw_domains(jax.random.key(0), [0.0, 1.0, 0.0], (100, 200))
    np.testing.assert_array_equal(drawn, 1)


def test_probabilities_need_not_sum_to_one():
    drawn = [
        sampling.draw_domains(jax.random.key(0), scale * np.array([0.2, 0.5, 0.3]), (100, 200))
        for scale in (1, 4)
    ]
    np.testing.assert_array_equal(*drawn)


def test_probabilities_that_are_not_a_vector_raise_an_error():
    with pytest.raises(ValueError, match=r"probabilities has shape \(2, 2\)"):
        sampling.draw_domains(jax.random.key(0), np.ones((2, 2)), 3)
