"""What the network is. A model is a flax module with `embed`, `network`, `heads`, `initial_state`.

Models know nothing of recursion, halting, curricula or losses. A new one is a file here and a line
in `MODELS`; `recursion.supervision_step` says how its methods are called.
"""

from collections.abc import Mapping
from typing import Any

from cgar_jax._core.registry import call_by_name
from cgar_jax.models.published import export_published, import_published, read_published
from cgar_jax.models.trm import TRM, Outputs

MODELS = {"trm": TRM}


def build(config: Mapping[str, Any], **task: int) -> TRM:
    """The model that a config names, for a task.

    Args:
      config: `name` and any attributes of that model.
      **task: `vocab_size`, `sequence_length`, `num_puzzle_identifiers`.

    Raises:
      ValueError: an unknown name or setting (the message has the nearest right one), or settings
        that do not go together.
    """
    settings = dict(config)
    return call_by_name("model", MODELS, settings.pop("name"), settings | task)


__all__ = [
    "MODELS",
    "TRM",
    "Outputs",
    "build",
    "export_published",
    "import_published",
    "read_published",
]
