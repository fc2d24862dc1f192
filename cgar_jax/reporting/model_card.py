"""The model card: description, results, use and training of a shared model.

The card is the `README.md` of an exported model, with the front matter that the Hugging Face hub
reads. Numbers come from `result.json`; missing ones are left out.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from cgar_jax import data
from cgar_jax.config import published_model
from cgar_jax.config_source import source_of
from cgar_jax.data import Rules
from cgar_jax.model_files import PROGRAM
from cgar_jax.reporting.example_puzzles import example_puzzle
from cgar_jax.reporting.gradients import HIERARCHICAL
from cgar_jax.reporting.reported_model import ReportedModel
from cgar_jax.reporting.result_table import result_rows

REPOSITORY = "https://github.com/cgar-jax/cgar_jax"
PROGRESSIVE, FIXED = "progressive_depth_curriculum", "fixed_depth_curriculum"
CGAR_PAPER = "CGAR: Qasim and Zhang, 2025, [arXiv 2511.08653](https://arxiv.org/abs/2511.08653)"
TITLES = {
    "eqr": "EqR",
    "hrm": "HRM",
    "ldt": "LDT",
    "relational": "Relational network",
    "rsm": "RSM",
    "se_rrm": "SE-RRM",
    "trm": "TRM",
    "trm_single": "TRM with one state",
    "urm": "URM",
}
MODEL_PAPERS = {
    "eqr": "EqR: Huang, Geng and Kolter, 2026, [arXiv 2605.21488](https://arxiv.org/abs/2605.21488)",
    "hrm": "HRM: Wang et al., 2025, [arXiv 2506.21734](https://arxiv.org/abs/2506.21734)",
    "ldt": "LDT: Davis, Haller, Alfarano and Santolucito, 2026, "
    "[arXiv 2605.08605](https://arxiv.org/abs/2605.08605)",
    "rsm": "RSM: Hakimi, 2026, [arXiv 2603.15641](https://arxiv.org/abs/2603.15641)",
    "se_rrm": "SE-RRM: Freinschlag et al., 2026, "
    "[arXiv 2603.02193](https://arxiv.org/abs/2603.02193)",
    "trm": "TRM: Jolicoeur-Martineau, 2025, [arXiv 2510.04871](https://arxiv.org/abs/2510.04871)",
    "urm": "URM: Gao et al., 2025, [arXiv 2512.14693](https://arxiv.org/abs/2512.14693)",
}
MODEL_PAPERS["trm_single"] = MODEL_PAPERS["trm"]


def model_card(model: ReportedModel, result: Mapping[str, Any] | None, has_program: bool) -> str:
    """Returns the text of a model card, in Markdown.

    Args:
      model: the shared model.
      result: content of its `result.json`, or None if nothing was measured.
      has_program: whether `solve.stablehlo` is shared too.
    """
    config, task = model.experiment.config, model.experiment.task
    rules = data.family_of(config.data.name).rules
    puzzle = example_puzzle(config.data, task.sequence_length) if rules else None
    sections = [_front_matter(model), _summary(model), _results(model, result)]
    sections += [_usage(rules, puzzle), _training(model)]
    if has_program:
        sections.append(_program(model, rules, puzzle))
    sections.append(_links(model))
    return "\n".join(sections)


def training_method(model: ReportedModel) -> tuple[str, str]:
    """Returns the name and a description of the method that trained a model.

    Args:
      model: the model; it must not be converted from a published checkpoint.

    Returns:
      The name, such as "CGAR", and a description.
    """
    config = model.experiment.config
    pdc, hsw = "progressive depth curriculum (PDC)", "hierarchical supervision weighting (HSW)"
    curriculum = config.curriculum.name
    weighted = HIERARCHICAL in [entry[0] for entry in config.weighting]
    if curriculum == PROGRESSIVE:
        return ("CGAR", f"{pdc} and {hsw}") if weighted else ("PDC", f"{pdc}, without HSW")
    if curriculum == FIXED:
        plain = "full depth and equal weights of the supervision steps throughout"
        return ("HSW", f"{hsw}, full depth throughout") if weighted else ("TRM", plain)
    return curriculum, f"curriculum `{curriculum}`" + (f" and {hsw}" if weighted else "")


def _front_matter(model: ReportedModel) -> str:
    config = model.experiment.config
    license = "unknown" if model.origin else "apache-2.0"
    tags = ["jax", "recursive-reasoning", config.model.name, config.data.name]
    if not model.origin:
        tags.append(training_method(model)[0].lower())
    lines = ["library_name: cgar_jax", f"license: {license}", "tags:"]
    lines += [f"- {tag}" for tag in dict.fromkeys(tags)]
    return "\n".join(["---", *lines, "---", ""])


def _summary(model: ReportedModel) -> str:
    config, task = model.experiment.config, model.experiment.task
    network = config.model
    num_params = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    title = (
        f"# {TITLES[published_model(config)]} for {config.data.name}, {task.sequence_length} cells"
    )
    mixing = f"mixing {network.mixing}, " if "mixing" in network else ""
    rows = {
        "task": f"{config.data.name}, {task.sequence_length} cells, {task.vocab_size} tokens",
        "network": f"{network.name}, {network.num_layers} layers of width {network.hidden_size}, "
        f"{mixing}{num_params:,} parameters",
        "recursion": _recursion(model),
    }
    if not model.origin:
        name, description = training_method(model)
        title += f", trained with {name}"
        rows |= {
            "training method": f"{name}: {description}" if name != "TRM" else description,
            "training data": _training_data(config.data),
            "training steps": f"{model.step:,} of {config.training.steps:,} optimizer steps, "
            f"batch size {config.batch_size:,}, seed {config.seed}",
        }
    return "\n".join([title, "", *_table("property", rows), ""])


def _recursion(model: ReportedModel) -> str:
    config, depth = model.experiment.config, model.experiment.curriculum.full_depth
    if not _is_deep(model):
        return f"{depth.T} loops per pass; search of at most {config.search.budget:,} passes"
    steps = config.supervision.max_supervision_steps
    return f"depth (n, T) = {depth}, {steps} supervision steps"


def _is_deep(model: ReportedModel) -> bool:
    """Returns whether the model is trained by deep supervision."""
    return model.experiment.config.supervision.name == "deep_supervision"


def _training_data(settings: Mapping[str, Any]) -> str:
    if settings["name"] == "arc":
        return f"the sets {', '.join(settings['sets'])}"
    number = f"{settings['num_train']:,}" if settings["num_train"] > 0 else "all"
    if settings["source"] != "generated":
        return f"{number} puzzles, from {settings['source']}"
    least = settings["min_difficulty"]
    hard = f" of difficulty {least:g} or more" if least else ""
    return f"{number} puzzles{hard}, generated"


def _results(model: ReportedModel, result: Mapping[str, Any] | None) -> str:
    config, task = model.experiment.config, model.experiment.task
    lines = ["## Results and training cost", ""]
    if result is None:
        why = "The model was converted" if model.origin else "The run was not finished"
        return "\n".join([*lines, f"{why}; nothing has been measured.", ""])
    rows = result_rows(result) | {"seed": f"{result['seed']}"}
    lines += [
        "Measured on held-out test puzzles with averaged parameters"
        + (", at full depth, with all supervision steps" if _is_deep(model) else "")
        + "; one run.",
        "",
        *_table("quantity", rows),
        "",
    ]
    if config.data.name == "sudoku" and task.sequence_length < 81:
        lines += [
            "Sudokus of this size have few essentially different solution grids. The test puzzles "
            "are new, even up to symmetry; their solution grids need not be.",
            "",
        ]
    return "\n".join(lines)


def _usage(rules: Rules | None, puzzle: np.ndarray | None) -> str:
    intro = [
        "## Use",
        "",
        f"Install with `pip install 'cgar_jax[train] @ git+{REPOSITORY}'`. `FOLDER` is the path of "
        "this folder, or the name of this model on the hub.",
        "",
    ]
    commands = ["cgar evaluate --workdir=FOLDER"]
    code = ["import cgar_jax", "", 'model = cgar_jax.load("FOLDER")']
    if rules:
        text = rules.to_text(puzzle)
        commands.append(f'cgar solve --workdir=FOLDER "{text}"')
        code += [
            f'(solution,) = model.solve("{text}")',
            "print(solution.verified, model.rules.to_text(solution.answer))",
        ]
    else:
        code.append('print(model.evaluate()["exact_accuracy"])')
    after = []
    if rules:
        after = ["", "An answer is `verified` if it obeys all rules of the puzzle.", ""]
    shell, python = ["```sh", *commands, "```", ""], ["```python", *code, "```"]
    return "\n".join([*intro, *shell, *python, *(after or [""])])


def _training(model: ReportedModel) -> str:
    if model.origin:
        return f"""## Origin

The parameters come from the published PyTorch checkpoint `{model.origin}`, converted by
`cgar convert`. The license is the one chosen by its authors.
"""
    return f"""## How it was trained

With this file as `config.py`

```python
{source_of(model.experiment.config)}```

the run is

```sh
cgar train config.py
```
"""


def _program(model: ReportedModel, rules: Rules, puzzle: np.ndarray) -> str:
    task = model.experiment.task
    cells = rules.to_text(np.arange(1, task.vocab_size))
    return f"""## Without cgar_jax

`{PROGRAM}` contains the network with its parameters and all supervision steps. It needs only JAX
and flatbuffers, runs on CPU, CUDA and TPU, and takes any number of puzzles. It was written by JAX
{jax.__version__}. It does not check its answers by the rules.

Questions are `int32 [batch, {task.sequence_length}]`. Token 1 stands for the first character of
`{cells}`, token 2 for the second, and so on.

```python
import jax.export
import numpy as np

cells, puzzle = "{cells}", "{rules.to_text(puzzle)}"
solve = jax.export.deserialize(bytearray(open("{PROGRAM}", "rb").read()))
answers, probabilities = solve.call(np.array([[cells.index(c) + 1 for c in puzzle]], "int32"))
print(probabilities[0], "".join(cells[token - 1] for token in answers[0]))
```
"""


def _links(model: ReportedModel) -> str:
    config = model.experiment.config
    links = [f"cgar_jax: {REPOSITORY}"]
    if not model.origin and training_method(model)[0] in ("CGAR", "PDC", "HSW"):
        links.append(CGAR_PAPER)
    if (name := published_model(config)) in MODEL_PAPERS:
        links.append(MODEL_PAPERS[name])
    return "\n".join(["## Links", "", *(f"- {link}" for link in links), ""])


def _table(first: str, rows: Mapping[str, str]) -> Iterable[str]:
    escaped = ((k.replace("|", "\\|"), v.replace("|", "\\|")) for k, v in rows.items())
    lines = [f"| {name.strip()} | {value} |" for name, value in escaped]
    return [f"| {first} | value |", "| --- | --- |", *lines]
