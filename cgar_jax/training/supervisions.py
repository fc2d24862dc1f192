"""Builds the form of supervision that a config names.

The settings of each form are documented by the classes in `deep_supervision` and
`candidate_elimination`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cgar_jax import losses
from cgar_jax._core.ranges import check_number
from cgar_jax._core.registry import call_by_name, check_name
from cgar_jax.curricula import DepthCurriculum, as_depth_choice
from cgar_jax.models import CandidateModel, Model
from cgar_jax.recursion import EliminationRule, HaltingRule, RecursionOptions
from cgar_jax.training.candidate_elimination import CandidateElimination, CandidateLosses
from cgar_jax.training.deep_supervision import DeepSupervision
from cgar_jax.training.mixture import Mixture
from cgar_jax.training.supervision import Supervision

SUPERVISIONS = ("deep_supervision", "candidate_elimination")
"""Every form of supervision that a config may name."""
ANSWER_LOSSES = {
    "stablemax_cross_entropy_loss": losses.stablemax_cross_entropy_loss,
    "softmax_cross_entropy_loss": losses.softmax_cross_entropy_loss,
}


def build(
    supervision: Mapping[str, Any],
    loss: Mapping[str, Any],
    recursion: Mapping[str, Any],
    model: Model,
    curriculum: DepthCurriculum,
) -> Supervision:
    """Builds a form of supervision.

    Args:
      supervision: `name` (one of `SUPERVISIONS`) and its settings.
      loss: settings of its losses.
      recursion: settings of `RecursionOptions`; deep supervision has them.
      model: the model.
      curriculum: the depth curriculum; its depths are checked.

    Raises:
      ValueError: if the name or a setting is unknown, a setting is out of range, or the form of
        supervision does not fit the model or the depths.
    """
    settings = dict(supervision)
    name = settings.pop("name")
    check_name("form of supervision", name, SUPERVISIONS)
    reads_candidates = isinstance(model, CandidateModel)
    if reads_candidates != (name == "candidate_elimination"):
        needed = "candidate_elimination" if reads_candidates else "deep_supervision"
        raise ValueError(
            f"the model {type(model).__name__} needs supervision.name = {needed!r}, but it is "
            f"{name!r}"
        )
    depths = [depth for stage in curriculum.stages for _, depth in as_depth_choice(stage).draws]
    for depth in depths:
        if reads_candidates != (depth.n == 0):
            wanted = "(0, loops), such as (0, 8)" if reads_candidates else "with n of 1 or more"
            raise ValueError(
                f"{name} needs depths {wanted}, but the curriculum has ({depth.n}, {depth.T})"
            )
    if reads_candidates:
        return _candidate_elimination(model, settings, dict(loss))
    options = call_by_name("recursion", {"deep": RecursionOptions}, "deep", dict(recursion))
    if model.num_hypotheses > 1 and options.starts_at_question:
        raise ValueError(
            "recursion.starts_at_question would start all hypotheses of an example alike; set "
            "model.num_hypotheses to 1 or starts_at_question to False"
        )
    if options.joins_exits and all(depth.num_exits == 1 for depth in depths):
        raise ValueError(
            "recursion.joins_exits needs a curriculum with several exits in a step, such as "
            "'sorted_exits_curriculum' (the method 'exits')"
        )
    if model.num_states == 1 and options.transition_probability:
        raise ValueError(
            "recursion.transition_probability needs an answer and a latent state, but the model "
            "has one state; set model.num_states to 2 or the probability to 0"
        )
    return _deep_supervision(model, settings, dict(loss), options)


def _deep_supervision(
    model: Model, settings: dict, loss: dict, options: RecursionOptions
) -> DeepSupervision:
    check_name("answer loss", loss.get("answer"), ANSWER_LOSSES)
    rule = call_by_name(
        "halting rule", {"deep_supervision": HaltingRule}, "deep_supervision", settings
    )
    if rule.criterion in ("head", "q_values") and not model.has_halting_head:
        raise ValueError(
            f"supervision.criterion {rule.criterion!r} needs a model with a halting head, and "
            f"{type(model).__name__} has none; use 'random' or 'never'"
        )
    check_number("config", "loss.halting_weight", loss["halting_weight"], "[0, inf)")
    check_number("config", "loss.smoothing", loss["smoothing"], "[0, 1]")
    answer_loss = ANSWER_LOSSES[loss["answer"]]
    return DeepSupervision(
        model, rule, answer_loss, loss["halting_weight"], loss["smoothing"], options
    )


def _candidate_elimination(
    model: CandidateModel, settings: dict, loss: dict
) -> CandidateElimination:
    def names(kind):
        return [field.name for field in dataclasses.fields(kind)]

    own = ("max_passes", "max_thoughts", "helped")
    accepted = (*own, *names(EliminationRule), *names(Mixture))
    for setting in settings:
        check_name("setting of candidate_elimination", setting, accepted)
    for setting in loss:
        check_name("loss of candidate_elimination", setting, names(CandidateLosses))

    def chosen(accepted):
        return {name: settings[name] for name in accepted if name in settings}

    return CandidateElimination(
        model,
        rule=EliminationRule(**chosen(names(EliminationRule))),
        mixture=Mixture(**chosen(names(Mixture))),
        loss_weights=CandidateLosses(**loss),
        **chosen(own),
    )
