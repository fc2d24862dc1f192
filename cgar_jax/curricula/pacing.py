"""Pacing: the share of the training examples in use, and the order in which they come into use.

>>> from cgar_jax import curricula
>>> curriculum = curricula.pacing_subset_curriculum(start_fraction=0.2, full_at=0.8)
>>> [round(curriculum(progress), 2) for progress in (0.0, 0.4, 0.8)]
[0.2, 0.6, 1.0]

`PacingCurriculum` is defined in `cgar_jax._core.pacing`, because
`cgar_jax.sampling.pacing_subset_sampling` draws batches by it.
"""

from cgar_jax._core.pacing import PacingCurriculum, PacingFamily, PacingOrder


def pacing_subset_curriculum(
    start_fraction: float = 0.2,
    full_at: float = 0.8,
    family: PacingFamily = "linear",
    order: PacingOrder = "curriculum",
) -> PacingCurriculum:
    """Returns a curriculum that starts with a subset of the examples and grows to all of them.

        fraction = b + (1 - b) f(min(progress / a, 1)),  b = start_fraction,  a = full_at

    with one of the families

    - `"linear"`: `f(x) = x`;
    - `"root"`: `f(x) = x^(1/2)`, fast at first;
    - `"quadratic"`: `f(x) = x^2`, slow at first;
    - `"exponential"`: `f(x) = (e^(10 x) - 1) / (e^10 - 1)`, nearly all of the growth at the end;
    - `"logarithmic"`: `f(x) = 1 + log(x + e^-10) / 10`, nearly all of the growth at the beginning;
    - `"step"`: `f(x) = floor(x)`, all at once at `full_at`.

    Use it to train from easy to hard. With fixed scores, the set in use only grows. The paper also
    selects the clients of federated learning this way: pass the mean loss of each client as the
    scores, and the examples in use are the clients to train on.

    Args:
      start_fraction: share of the examples at the start, in [0, 1]. At least one example is always
        in use; 1 is ordinary training.
      full_at: progress at which all examples are in use, above 0. With a value above 1, training
        ends before all examples are in use.
      family: shape of the growth.
      order: `"curriculum"` starts with the easiest examples, `"anti"` with the hardest, and
        `"random"` with any, which isolates the effect of the pace.

    Returns:
      A `PacingCurriculum`, which maps progress to a share of the examples.

    Raises:
      ValueError: if a setting is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from cgar_jax import curricula
      >>> curriculum = curricula.pacing_subset_curriculum(start_fraction=0.25, full_at=0.5)
      >>> order = curriculum.order_examples(scores=jnp.array([0.9, 0.1, 0.7, 0.3]))
      >>> [order[: curriculum.count(progress, 4)].tolist() for progress in (0.0, 0.25, 0.5)]
      [[1], [1, 3, 2], [1, 3, 2, 0]]

    Reference:
      Vahidian et al., 2023, "When Do Curricula Work in Federated Learning?", arXiv 2212.12712. The
      families are those of Wu, Dyer and Neyshabur, 2021, "When Do Curricula Work?", arXiv
      2012.03107. Its released code rounds the number of examples down, and at the threshold of
      `"step"` adds the `b n` first examples to all `n`, which leaves `n`. That the federated paper
      uses the same families is unconfirmed, its selection of clients is reconstructed from the
      abstract, and all four defaults are ours.
    """
    return PacingCurriculum(start_fraction, full_at, family, order)
