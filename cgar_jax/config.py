"""The settings of an experiment: every key, with the values published for TRM and CGAR.

A file in `configs/` calls `default_config` and changes some settings. The command line can change
every key again (`--config.optimizer.learning_rate=3e-4`). Unknown keys are errors.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from cgar_jax._core.registry import check_name
from cgar_jax.data.families import FAMILIES
from cgar_jax.data.sources import LoadOptions

METHODS = ("cgar", "pdc", "hsw", "trm", "plateau", "nested", "exits")
"""How the depth grows and which supervision steps count, see `set_method`."""

PUBLISHED_MODELS: dict[str, dict[str, Any]] = {
    "trm_single": {"model.num_states": 1},
    "hrm": {
        "model.num_networks": 2,
        "model.mixing": "attention",
        "model.positions": "rotary",
        "recursion.gradient_calls": "last",
        "supervision.criterion": "q_values",
    },
    "urm": {
        "model.num_states": 1,
        "model.mixing": "attention",
        "model.positions": "rotary",
        "model.mlp": "convolutional",
    },
    "eqr": {
        "model.start": "random",
        "model.puzzle_embedding_tokens": 0,
        "recursion.rate": 0.95,
        "recursion.noise": 0.01,
    },
    "se_rrm": {
        "model.name": "se_rrm",
        "model.symbol_heads": 2,
        "model.head_size": 0,
        "model.extra_tokens": 4,
        "model.equivariant": True,
        "supervision.criterion": "random",
        "supervision.leave_probability": 0.05,
        "loss.halting_weight": 0.0,
    },
    "sic": {
        "model.num_hypotheses": 4,
        "model.mlp": "normalized",
        "model.puzzle_embedding_tokens": 0,
        "model.prefix_token": True,
        "model.head_bias": True,
        "loss.answer": "softmax_cross_entropy_loss",
        "loss.smoothing": 0.2,
        "loss.halting_weight": 0.05,
    },
    "rsm": {
        "model.tied_head": True,
        "model.mixing_norm": "features",
        "recursion.transition_probability": 0.01,
        "supervision.max_supervision_steps": 1,
        "loss.halting_weight": 0.0,
    },
}
"""The settings with which published models differ from TRM; sizes and optimizers are left alone."""


def default_config() -> ml_collections.ConfigDict:
    """Returns the published setting: TRM with token mixing on Sudoku-Extreme, trained with CGAR.

    CGAR is the depth curriculum `progressive_depth_curriculum` together with the weighting
    `hierarchical_supervision_weighting`; `set_method` chooses other methods.
    """
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.batch_size = 768

    config.data = data_config("sudoku")

    # A model of `cgar_jax.models.MODELS`, and its attributes.
    config.model = ml_collections.ConfigDict()
    config.model.name = "trm"
    config.model.hidden_size = 512
    config.model.num_layers = 2
    config.model.num_states = 2
    config.model.num_networks = 1
    config.model.start = "constant"
    config.model.num_hypotheses = 1
    config.model.mixing = "mlp"
    config.model.mixing_norm = "positions"
    config.model.positions = "none"
    config.model.relation_bias = False
    config.model.num_heads = 8
    config.model.mlp = "swiglu"
    config.model.expansion = 4.0
    config.model.inner_size_multiple = 256
    config.model.puzzle_embedding_tokens = 16
    config.model.puzzle_embedding_size = 0
    config.model.prefix_token = False
    config.model.tied_head = False
    config.model.head_bias = False
    config.model.dtype = "bfloat16"
    config.model.param_dtype = "float32"

    # The options of the recursion, `cgar_jax.recursion.RecursionOptions`.
    config.recursion = ml_collections.ConfigDict()
    config.recursion.rate = 1.0
    config.recursion.noise = 0.0
    config.recursion.gradient_cycles = 1
    config.recursion.gradient_calls = "all"
    config.recursion.transition_probability = 0.0
    config.recursion.starts_at_question = False
    config.recursion.joins_exits = False

    # A form of supervision of `cgar_jax.training.supervisions.SUPERVISIONS`, and its settings.
    config.supervision = ml_collections.ConfigDict()
    config.supervision.name = "deep_supervision"
    config.supervision.max_supervision_steps = 16
    config.supervision.exploration_probability = 0.1
    config.supervision.criterion = "head"
    config.supervision.leave_probability = 0.1

    config.loss = ml_collections.ConfigDict()
    config.loss.answer = "stablemax_cross_entropy_loss"
    config.loss.smoothing = 0.0
    config.loss.halting_weight = 0.5

    # A curriculum of `cgar_jax.curricula.DEPTH_CURRICULA`, and its arguments.
    config.curriculum = ml_collections.ConfigDict()
    config.curriculum.name = "progressive_depth_curriculum"
    config.curriculum.stages = ((2, 1), (4, 2), (6, 3))
    config.curriculum.boundaries = (0.3, 0.6)
    # How batches are drawn: a sampling of `cgar_jax.sampling.BATCH_SAMPLINGS`, and its arguments.
    config.sampling = ml_collections.ConfigDict({"name": "uniform_sampling"})
    # Weightings of `cgar_jax.weighting.WEIGHTINGS` in the order in which they are chained: (name,
    # settings), or (name, settings, loss terms) for only some of the terms "answer" and "halt".
    # Settings are a dictionary or pairs; pairs can also be part of an `ml_collections`
    # `FrozenConfigDict`.
    config.weighting = ()

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "adam_atan2"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 2_000
    config.optimizer.schedule = "constant"
    config.optimizer.final_fraction = 1.0
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.95
    config.optimizer.weight_decay = 1.0
    config.optimizer.clip_norm = 0.0
    config.optimizer.ema_decay = 0.999
    config.optimizer.puzzle_learning_rate = 1e-4
    config.optimizer.puzzle_weight_decay = 1.0

    config.training = ml_collections.ConfigDict()
    config.training.steps = 65_000
    # Upper limit; slow steps are dispatched in smaller numbers, because metrics are logged and
    # signals are handled only between dispatches.
    config.training.steps_per_dispatch = 50
    # Parts into which each device's share of the batch is cut. More parts give the same gradient
    # with less memory in more time.
    config.training.microbatches = 1

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_steps = 1_000
    config.checkpoint.keep = 3

    # During training, `num_examples` examples of the validation split, drawn once, are scored; the
    # final evaluation scores the whole test split.
    config.evaluation = ml_collections.ConfigDict()
    config.evaluation.every_steps = 5_000
    config.evaluation.num_examples = 500
    config.evaluation.batch_size = 768
    # Scores during training are those of the answers at halting. They are cheap, but can differ
    # from the scores after all steps while the model learns when to halt. The final evaluation
    # always runs all steps.
    config.evaluation.until_halted = True
    # Number of augmented variants per ARC test puzzle in the final evaluation; 0 means all.
    config.evaluation.num_variants = 0

    # Number of devices along each mesh axis; -1 means all remaining devices. The batch is split
    # over both axes, parameters and optimizer state over `fsdp`.
    config.mesh = ml_collections.ConfigDict({"data": -1, "fsdp": 1})
    set_method(config, "cgar")
    return config


def data_config(name: str) -> ml_collections.ConfigDict:
    """Returns the default settings of a puzzle family: "arc", "maze" or "sudoku".

    The keys and their defaults are the attributes of the family's `Source` (such as
    `cgar_jax.data.sudoku.SudokuSource`) and of `cgar_jax.data.LoadOptions`, which document them.

    Args:
      name: name of the family, a key of `cgar_jax.data.FAMILIES`.

    Raises:
      ValueError: if there is no such family.
    """
    check_name("family of puzzles", name, FAMILIES)
    settings = dataclasses.asdict(FAMILIES[name]()) | dataclasses.asdict(LoadOptions())
    return ml_collections.ConfigDict({"name": name, **settings})


def set_arc(config: ml_collections.ConfigDict) -> None:
    """Changes a config to the settings published for ARC, except for the number of steps."""
    config.sampling.name = "epoch_sampling"
    config.model.mixing = "attention"
    config.model.positions = "rotary"
    config.curriculum.stages = ((2, 1), (3, 2), (4, 3))
    config.optimizer.weight_decay = 0.1
    config.optimizer.puzzle_learning_rate = 1e-2
    config.optimizer.puzzle_weight_decay = 0.1
    # A checkpoint holds the embeddings of all variants, about 2 GB.
    config.checkpoint.every_steps = 10_000
    config.evaluation.every_steps = 10_000


def set_elimination(config: ml_collections.ConfigDict) -> None:
    """Changes a config to the relational network, trained by candidate elimination.

    Call `set_method` afterwards.

    Args:
      config: the config to change.
    """
    config.model = ml_collections.ConfigDict()
    config.model.name = "relational"
    config.model.hidden_size = 48
    config.model.expansion = 2.0
    config.model.inner_size_multiple = 16
    config.model.num_layers = 2
    config.model.dtype = "float32"
    config.model.param_dtype = "float32"

    del config.recursion
    # The rule of elimination, how long puzzles stay, and the mixture of states in which they begin.
    config.supervision = ml_collections.ConfigDict({"name": "candidate_elimination"})
    config.supervision.threshold = 0.1
    config.supervision.conflict_threshold = 0.5
    config.supervision.temperature = 1.5
    config.supervision.max_passes = 100
    config.supervision.max_thoughts = 8
    config.supervision.helped = 1.0
    config.supervision.thinking = 0.5
    config.supervision.hinted = 0.7
    config.supervision.max_hints = 12
    config.supervision.misled = 0.4
    config.supervision.plain = 0.2
    config.supervision.wrong = 0.25
    config.supervision.wrong_cells = 0.15

    config.loss = ml_collections.ConfigDict()
    config.loss.digit_weight = 1.0
    config.loss.keep_weight = 1.0
    config.loss.conflict_weight = 0.3

    # The verified search of the final evaluation; `num_examples` 0 means all test puzzles, `loops`
    # 0 the depth of the last stage.
    config.search = ml_collections.ConfigDict()
    config.search.thresholds = (0.0,)
    config.search.conflict_threshold = 0.95
    config.search.temperature = 1.5
    config.search.singles = True
    config.search.rests = False
    config.search.max_guesses = 48
    config.search.patience = 64
    config.search.loops = 0
    config.search.budget = 1_000
    config.search.num_examples = 0

    # The network has every symmetry of the board, so augmentation would change nothing.
    config.data.augment = False
    config.curriculum.stages = ((0, 4), (0, 8), (0, 16))
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 7e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 0.02
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.98
    config.evaluation.batch_size = 64


def set_mini_elimination(config: ml_collections.ConfigDict) -> None:
    """Calls `set_elimination` for a small model and a short training: minutes on two CPU cores."""
    set_elimination(config)
    config.supervision.thinking = 1.0
    # So short a training does not learn to refute guesses; it would only learn to doubt.
    config.supervision.misled = 0.0
    config.model.hidden_size = 32
    config.model.expansion = 1.5
    config.curriculum.boundaries = (0.3, 0.6)
    config.training.steps_per_dispatch = 20
    config.evaluation.num_examples = 200


def set_mini(config: ml_collections.ConfigDict) -> None:
    """Changes a config to a small model and a short training: minutes on two CPU cores."""
    config.batch_size = 32

    config.model.hidden_size = 64
    config.model.expansion = 2.0
    config.model.inner_size_multiple = 64
    config.model.puzzle_embedding_tokens = 1
    config.model.dtype = "float32"

    config.supervision.max_supervision_steps = 8

    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 30
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 0.05
    config.optimizer.weight_decay = 0.1
    config.optimizer.ema_decay = 0.98

    config.training.steps = 1_200
    config.training.steps_per_dispatch = 20
    config.checkpoint.every_steps = 200
    config.evaluation.every_steps = 200
    config.evaluation.num_examples = 250
    config.evaluation.batch_size = 250


def set_published_model(config: ml_collections.ConfigDict, name: str) -> None:
    """Changes the settings with which a published model differs from TRM, and no others.

    Args:
      config: the config to change; its model is "trm".
      name: a key of `PUBLISHED_MODELS`.

    Raises:
      ValueError: if there is no such model, or the config has another kind of model.
    """
    check_name("published model", name, PUBLISHED_MODELS)
    if config.model.name != "trm":
        raise ValueError(
            f"{name!r} changes options of the model 'trm', but the config has {config.model.name!r}"
        )
    settings = PUBLISHED_MODELS[name]
    if "model.name" in settings:  # another network, which has only these settings of TRM
        kept = ("hidden_size", "num_layers", "num_heads", "expansion", "inner_size_multiple")
        kept += ("dtype", "param_dtype")
        config.model = ml_collections.ConfigDict({key: config.model[key] for key in kept})
    for key, value in settings.items():
        group, _, setting = key.partition(".")
        config[group][setting] = value


def published_model(config: ml_collections.ConfigDict) -> str:
    """Returns the name of the published model whose settings a config has.

    Args:
      config: any config.

    Returns:
      The key of `PUBLISHED_MODELS` of which the config has all settings; if there are several, the
      one with most settings, and if there is none, `config.model.name`.
    """

    def fits(settings):
        pairs = ((key.partition("."), value) for key, value in settings.items())
        return all(config.get(group, {}).get(name) == value for (group, _, name), value in pairs)

    fitting = [name for name, settings in PUBLISHED_MODELS.items() if fits(settings)]
    return max(fitting, key=lambda name: len(PUBLISHED_MODELS[name]), default=config.model.name)


def set_method(config: ml_collections.ConfigDict, method: str, decay: float = 0.7) -> None:
    """Chooses the depth curriculum and the weighting of supervision steps by name.

    - "cgar": the depth grows (PDC), and early supervision steps count more (HSW).
    - "pdc": only the depth grows.
    - "hsw": only the weighting, at full depth.
    - "trm": neither.
    - "plateau": PDC whose depth grows when the loss has stopped falling; the last stage begins no
      later than that of "pdc".
    - "nested": the number of cycles is drawn at each step (SortedNet).
    - "exits": the answer is supervised after every cycle (SoFT).

    A published model can stand before the method, as in "urm+plateau"; alone, as in "urm", it is
    trained with neither, as published. `PUBLISHED_MODELS` lists their names.

    Call this last, because it takes the full depth from the last stage of the config's curriculum,
    and the number of supervision steps for HSW. The weighting of the config is replaced.

    Args:
      config: the config to change; its curriculum is the progressive one.
      method: one of `METHODS`, a key of `PUBLISHED_MODELS`, or both, joined by "+".
      decay: decay of HSW.

    Raises:
      ValueError: if the method is unknown, or the curriculum is no longer the progressive one.
    """
    published, _, rest = method.partition("+")
    if published in PUBLISHED_MODELS:
        check_name("method", method := rest or "trm", METHODS)
        set_published_model(config, published)
    else:
        check_name("method", method, (*METHODS, *PUBLISHED_MODELS))
    if config.curriculum.name != "progressive_depth_curriculum":
        raise ValueError(
            f"the config already has the curriculum {config.curriculum.name!r}; a method can only "
            "be chosen while it has 'progressive_depth_curriculum', as default_config does"
        )
    n, cycles = depth = config.curriculum.stages[-1]
    fixed = {"name": "fixed_depth_curriculum", "depth": depth}
    plateau = {
        "name": "plateau_depth_curriculum",
        "stages": config.curriculum.stages,
        "latest": config.curriculum.boundaries[-1],
    }
    nested = tuple((n, cycle) for cycle in range(1, cycles + 1))
    curriculum = {
        "hsw": fixed,
        "trm": fixed,
        "plateau": plateau,
        "nested": {"name": "nested_depth_curriculum", "depths": nested},
        "exits": {"name": "sorted_exits_curriculum", "depth": depth},
    }
    if method in curriculum:
        config.curriculum = ml_collections.ConfigDict(curriculum[method])
    steps = cycles if n == 0 else config.supervision.max_supervision_steps
    settings = (("decay", decay), ("num_steps", steps))
    hierarchical = (("hierarchical_supervision_weighting", settings),)
    config.weighting = hierarchical if method in ("cgar", "hsw") else ()


def grid(choices: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Returns all combinations of settings, for `get_sweep` of a config file.

    Args:
      choices: the values of each key, such as
        `{"seed": range(3), "optimizer.learning_rate": (1e-4, 3e-4)}`.

    Returns:
      A dictionary of overrides for each run; the last key changes fastest. `+` joins two grids.

    Raises:
      ValueError: if the values of a key are empty, or not a list.
    """
    for key, values in choices.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"{key} is {values!r}, but a grid needs a list of values")
    listed = {key: list(values) for key, values in choices.items()}
    for key, values in listed.items():
        if not values:
            raise ValueError(f"{key} has no values to try")
    return [dict(zip(listed, each, strict=True)) for each in itertools.product(*listed.values())]
