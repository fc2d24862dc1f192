"""The ranges of the numbers in a config that no object of an experiment checks itself.

Models, curricula, samplings, weightings, optimizers and sources of data check their own settings.
"""

import functools
import operator

import ml_collections

from cgar_jax._core.ranges import check_integer, check_number

INTEGERS = {
    "seed": "[0, 4294967295]",
    "batch_size": "[1, inf)",
    "training.steps": "[1, inf)",
    "training.steps_per_dispatch": "[1, inf)",
    "training.microbatches": "[1, inf)",
    "checkpoint.every_steps": "[1, inf)",
    "checkpoint.keep": "[1, inf)",
    "evaluation.every_steps": "[1, inf)",
    "evaluation.num_examples": "[1, inf)",
    "evaluation.batch_size": "[1, inf)",
    "evaluation.num_variants": "[0, inf)",
}
NUMBERS = {
    "optimizer.ema_decay": "[0, 1]",
    "optimizer.puzzle_learning_rate": "[0, inf)",
    "optimizer.puzzle_weight_decay": "[0, inf)",
}


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Checks the numbers of a config that no object of the experiment checks itself.

    Args:
      config: a config as from `plain_config`.

    Raises:
      ValueError: if a number is outside its range, or numbers of domains disagree.
    """
    values = config.to_dict()
    for ranges, check in ((INTEGERS, check_integer), (NUMBERS, check_number)):
        for key, interval in ranges.items():
            value = functools.reduce(operator.getitem, key.split("."), values)
            check("config", key, value, interval)
    for settings in (values["sampling"], *(dict(entry[1]) for entry in values["weighting"])):
        found, wanted = settings.get("num_domains"), config.data.num_domains
        if found is not None and found != wanted:
            raise ValueError(
                f"num_domains is {found} in {settings}, but config.data.num_domains is {wanted}; "
                "they must be equal"
            )
