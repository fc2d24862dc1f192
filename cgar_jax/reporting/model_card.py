"""The model card: what a shared model is, how good, how it was trained, and how to use it.

It is the `README.md` of the folder that `cgar_jax.trained_model.save` writes, with the front matter
that the Hugging Face hub reads. Figures come from `result.json`; what was not measured is not told.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from cgar_jax import data
from cgar_jax.config_source import source_of
from cgar_jax.data import Rules
from cgar_jax.model_files import PROGRAM
from cgar_jax.reporting.result_table import result_rows


def model_card(model: Any, result: Mapping[str, Any] | None, has_program: bool) -> str:
    """The text of the card, Markdown.

    Args:
      model: that is shared.
      result: of its `result.json`; None if nothing was measured.
      has_program: whether `solve.stablehlo` is shared too.
    """
    rules = data.family_of(model.config.data.name).rules
    sections = [_front_matter(model), _model(model), _results(model, result), _training(model)]
    sections.append(_use(model, rules))
    if has_program:
        sections.append(_program(model, rules))
    return "\n".join(sections)


def _front_matter(model: Any) -> str:
    config = model.experiment.config
    licence = "unknown" if model.origin else "apache-2.0"
    tags = ("jax", "recursive-reasoning", config.model.name, config.data.name)
    lines = ["library_name: cgar_jax", f"license: {licence}", "tags:", *(f"- {t}" for t in tags)]
    return "\n".join(["---", *lines, "---", ""])


def _model(model: Any) -> str:
    config, task = model.experiment.config, model.experiment.task
    network = config.model
    numbers = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    rows = {
        "task": f"{config.data.name}, {task.sequence_length} cells, {task.vocab_size} tokens",
        "network": f"{network.name}, {network.num_layers} layers of {network.hidden_size}, "
        f"mixing {network.mixing}, {numbers:,} parameters",
        "recursion": f"depth (n, T) = {model.experiment.curriculum.full_depth}, "
        f"{config.supervision.max_supervision_steps} supervision steps",
    }
    if not model.origin:
        rows |= {
            "trained on": _puzzles(config.data),
            "trained for": f"{model.step:,} of {config.training.steps:,} optimizer steps of "
            f"{config.batch_size:,} examples, seed {config.seed}",
        }
    title = f"# {network.name.upper()} for {config.data.name}, {task.sequence_length} cells"
    return "\n".join([title, "", *_table(rows), ""])


def _puzzles(settings: Mapping[str, Any]) -> str:
    """What the data of a config are, in words."""
    if settings["name"] == "arc":
        return f"the sets {', '.join(settings['sets'])}"
    number = f"{settings['num_train']:,}" if settings["num_train"] > 0 else "all"
    made = settings["source"] == "generated"
    return f"{number} puzzles, " + ("generated" if made else f"from {settings['source']}")


def _results(model: Any, result: Mapping[str, Any] | None) -> str:
    config, task = model.experiment.config, model.experiment.task
    lines = ["## Results", ""]
    if result is None:
        why = "It was converted" if model.origin else "The run was not finished"
        return "\n".join([*lines, f"{why}; nothing has been measured.", ""])
    lines += [
        "On held-out test puzzles, averaged weights, full depth, all supervision steps; one run.",
        "",
        *_table(result_rows(result) | {"seed": f"{result['seed']}"}),
        "",
    ]
    if config.data.name == "sudoku" and task.sequence_length < 81:
        lines += [
            "Sudokus of this size have few essentially different solution grids. The test puzzles "
            "are new, clues and all, up to symmetry; their solutions need not be.",
            "",
        ]
    return "\n".join(lines)


def _training(model: Any) -> str:
    if model.origin:
        return f"""## Origin

The parameters are those of the published PyTorch checkpoint `{model.origin}`, converted by
`cgar convert`. Its licence is that of its authors.
"""
    return f"""## How it was trained

```python
{source_of(model.experiment.config)}```

As `config.py`, trained by

```sh
cgar train --config=config.py
```
"""


def _use(model: Any, rules: Rules | None) -> str:
    name, cells = model.config.data.name, model.experiment.task.sequence_length
    commands = ["cgar evaluate --workdir=FOLDER"]
    code = ["from cgar_jax import trained", "", 'model = trained.load("FOLDER")']
    if rules is not None:
        commands.append("cgar solve --workdir=FOLDER PUZZLES.txt")
        code = [
            "from cgar_jax.commands.solve import load_solver",
            "from cgar_jax.data import read_questions, rules_of",
            "",
            f'rules, solver = rules_of("{name}"), load_solver("FOLDER")',
            f'questions = read_questions(open("PUZZLES.txt").read(), rules, num_cells={cells})',
            "for solution in solver(questions.tokens):",
            "    print(solution.verified, rules.to_text(solution.answer))",
        ]
    told = ["## Use", "", "`FOLDER` is the path of this folder, or its name on the hub.", ""]
    return "\n".join([*told, "```sh", *commands, "```", "", "```python", *code, "```", ""])


def _program(model: Any, rules: Rules) -> str:
    num_cells = model.experiment.task.sequence_length
    cells = rules.to_text(np.arange(1, model.experiment.task.vocab_size))
    return f"""## Without cgar_jax

`{PROGRAM}` holds the network, its weights and all supervision steps. It runs where there is JAX
(with flatbuffers), on CPU, CUDA or TPU, and takes any number of puzzles. JAX {jax.__version__}
wrote it. It does not check its answers by the rules.

Questions are `int32 [batch, {num_cells}]`; a token is the place of the cell's character, from 1,
in `{cells}`. The puzzle below is empty.

```python
import jax.export, numpy

cells, puzzle = "{cells}", "{cells[0]}" * {num_cells}
solve = jax.export.deserialize(bytearray(open("{PROGRAM}", "rb").read()))
answers, probabilities = solve.call(numpy.array([[cells.index(c) + 1 for c in puzzle]], "int32"))
print(probabilities[0], "".join(cells[token - 1] for token in answers[0]))
```
"""


def _table(rows: Mapping[str, str]) -> Iterable[str]:
    escaped = ((k.replace("|", "\\|"), v.replace("|", "\\|")) for k, v in rows.items())
    return ["| | |", "| --- | --- |", *(f"| {name.strip()} | {value} |" for name, value in escaped)]
