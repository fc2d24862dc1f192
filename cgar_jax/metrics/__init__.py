"""Metrics: pure functions from answers and labels to one unreduced number per example.

>>> import jax.numpy as jnp
>>> from cgar_jax import losses, metrics
>>> labels = jnp.array([[1, 2, 3], [1, losses.IGNORE_LABEL, 3]])
>>> answers = jnp.array([[1, 2, 0], [1, 7, 3]])
>>> exact = metrics.exact_accuracy_metric(answers, labels)
>>> print(exact, losses.masked_mean(exact, where=metrics.labeled_examples(labels)))
[0. 1.] 0.5

Every metric has the signature `(model outputs, targets, *, where=None) -> float32 [...]`, ignores
cells whose label is not a class (as in `cgar_jax.losses`), and leaves the mean over examples to the
caller. Metrics are for reporting: they have no useful gradient.

| name | value per example |
| --- | --- |
| `cell_accuracy_metric` | fraction of the labeled cells that are right |
| `exact_accuracy_metric` | 1 if every labeled cell is right, else 0 |
| `halting_accuracy_metric` | 1 if the halting head is right about whether the example is solved, else 0 |

`labeled_examples` returns which examples a mean over a batch should include; `wilson_interval` is
the confidence interval of an accuracy.
"""

from cgar_jax.metrics.accuracy import (
    cell_accuracy_metric,
    exact_accuracy_metric,
    halting_accuracy_metric,
    labeled_examples,
)
from cgar_jax.metrics.intervals import wilson_interval

__all__ = [
    "METRICS",
    "cell_accuracy_metric",
    "exact_accuracy_metric",
    "halting_accuracy_metric",
    "labeled_examples",
    "wilson_interval",
]

METRICS = {
    metric.__name__: metric
    for metric in (cell_accuracy_metric, exact_accuracy_metric, halting_accuracy_metric)
}
