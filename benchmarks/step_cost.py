"""What a training step costs on the machine at hand, stage by stage.

    python benchmarks/step_cost.py --config=configs/sudoku_mini.py
    python benchmarks/step_cost.py --config=configs/sudoku_extreme.py --json=FILE.json    # on a GPU
    python benchmarks/step_cost.py --config=configs/sudoku_mini.py --torch    # PyTorch beside it

The config's model is trained for a while on its own puzzles. The stages of the curriculum and a
product of two large matrices are timed in turns, so that what else the machine does falls on all of
them alike; figures are medians over the turns, with quartiles.

The share of the matrix rate is of FLOPs that the step really computes (with those of the backward
pass that are computed again), over what the product reaches in the same dtype. XLA counts the body
of a loop once, so its FLOPs are those of a step as shallow as that, scaled by the formula.
The time between dispatches is what a dispatch of one step takes longer than a step within one of
many: arguments, the wait for the result, and the host. The wait for data is that of the host before
a dispatch of many; a training set above `data.max_device_megabytes` is streamed.

With `--torch`, the same model's step in PyTorch (`torch_step.py`) takes its turns too, as written
and with `torch.compile`; each library has all the cores while it runs. Needs the `peers` extra.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from cgar_jax import data, experiment
from cgar_jax.commands import runner as command
from cgar_jax.curricula import Depth, as_depth_choice
from cgar_jax.mesh import BATCH, over_batch, replicated
from cgar_jax.planning import step_costs
from cgar_jax.progress import progress_bar
from cgar_jax.training.programs import Programs, peak_bytes


@dataclasses.dataclass
class Timed:
    """One stage: its compiled program, and what it took.

    Attributes:
      depth: of its steps.
      program: of `TrainStep.run`.
      compile_seconds: tracing and compilation.
      step_seconds: within a dispatch of many steps, a figure for each turn.
      single_seconds: of a dispatch of one step, likewise.
      waits: for the data of the dispatch of many, in seconds, likewise.
      torch_seconds: of a step in PyTorch, by how it is run, likewise.
    """

    depth: Any
    program: Any
    compile_seconds: float
    step_seconds: list[float] = dataclasses.field(default_factory=list)
    single_seconds: list[float] = dataclasses.field(default_factory=list)
    waits: list[float] = dataclasses.field(default_factory=list)
    torch_seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)


def matrix_product(mesh: Mesh, dtype: str, size: int, repeats: int) -> Any:
    """Each device multiplies matrices `[size, size]` so often: the program, and its arguments.

    All devices at once: simulated ones share what one machine can do.
    """
    whole = PartitionSpec()

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(BATCH, whole), out_specs=BATCH)
    def products(a, b):
        return lax.fori_loop(0, repeats, lambda _, c: (c @ b).astype(c.dtype), a)

    # Of such deviation that the products neither grow nor vanish.
    keys, shapes = jax.random.split(jax.random.key(0)), (mesh.size * size, size)
    a, b = (
        jax.random.normal(key, (rows, size), dtype) * size**-0.5
        for key, rows in zip(keys, shapes, strict=True)
    )
    return jax.jit(products), (
        jax.device_put(a, over_batch(mesh)),
        jax.device_put(b, replicated(mesh)),
    )


def seconds_of(function: Any, *arguments: Any) -> tuple[Any, float]:
    """Calls a function and waits for what it returns."""
    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - begin


def measure(
    pieces: experiment.Experiment, dataset: data.Dataset, values: flags.FlagValues
) -> tuple[list[Timed], list[float]]:
    """Times all stages and the matrix product in turns: the stages, and rates in FLOP/s."""
    examples, feed = pieces.feed(dataset.train, dataset.augment)
    state = pieces.initial_state()
    stages = []
    with Programs(pieces.train_step, state, examples) as programs:
        for depth in dict.fromkeys(stage.depth for stage in pieces.stages):
            begin = time.perf_counter()
            program = programs.prepare(depth).result()
            stages.append(Timed(depth, program, time.perf_counter() - begin))
    peers = [torch_steps(pieces, stage.depth) if values.torch else {} for stage in stages]
    size = values.matrix_size or (2048 if jax.default_backend() == "cpu" else 8192)
    product, matrices = matrix_product(pieces.mesh, pieces.model.dtype, size, values.products)
    rates = []
    lengths = [1, values.steps] * len(stages) * (values.turns + 1)
    feeding = feed(list(itertools.pairwise(itertools.accumulate(lengths, initial=0))))

    def timed(stage, num_steps):
        nonlocal state
        block, wait = seconds_of(next, feeding)
        (state, _), seconds = seconds_of(stage.program, state, block, np.int32(num_steps))
        return seconds / num_steps, wait

    with progress_bar() as progress:
        for turn in progress.track(range(values.turns + 1), description="timing"):
            _, product_seconds = seconds_of(product, *matrices)
            if turn:  # the first one is to get warm
                products = values.products * pieces.mesh.size
                rates.append(2 * products * size**3 / product_seconds)
            for stage, steps in zip(stages, peers, strict=True):
                single, _ = timed(stage, 1)
                each_of_many, wait = timed(stage, values.steps)
                of_peers = {name: seconds_of(step)[1] for name, step in steps.items()}
                time.sleep(1.0 if steps else 0.0)  # its threads look for more work for a while
                if turn:
                    stage.single_seconds.append(single)
                    stage.step_seconds.append(each_of_many)
                    stage.waits.append(wait)
                    for name, seconds in of_peers.items():
                        stage.torch_seconds.setdefault(name, []).append(seconds)
    return stages, rates


def torch_steps(pieces: experiment.Experiment, depth: Depth) -> dict[str, Callable[[], float]]:
    """Steps of this depth in PyTorch, by how they are run."""
    from torch_step import TorchStep  # which imports torch

    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    of_model = pieces.model, depth.full, pieces.config.batch_size, device
    return {
        "PyTorch": TorchStep(*of_model).step,
        "PyTorch, compiled": TorchStep(*of_model, compiled=True).step,
    }


def figures(
    pieces: experiment.Experiment, stages: list[Timed], rates: list[float], steps: int
) -> dict[str, Any]:
    """All figures, for JSON: seconds, bytes, FLOPs."""
    rate = float(np.median(rates))
    device = pieces.mesh.local_devices[0]
    return {
        "device": device.device_kind,
        "devices": pieces.mesh.size,
        "dtype": pieces.model.dtype,
        "batch_size": pieces.config.batch_size,
        "matrix_flops_per_second": _spread(rates),
        "device_peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use"),
        "stages": [_stage(pieces, stage, rate, steps) for stage in stages],
    }


def _stage(pieces, stage, rate, steps):
    seconds = float(np.median(stage.step_seconds))
    between = float(np.median(np.subtract(stage.single_seconds, stage.step_seconds)))
    in_dispatches = [steps * each for each in stage.step_seconds]
    flops = step_costs.hardware_flops(pieces, stage.depth)
    counted = stage.program.cost_analysis()["flops"] * pieces.mesh.size
    counted_once = step_costs.hardware_flops(pieces, _once(stage.depth))
    return {
        "depth": str(stage.depth),
        "compile_seconds": stage.compile_seconds,
        "step_seconds": _spread(stage.step_seconds),
        "examples_per_second": pieces.config.batch_size / seconds,
        "model_flops": pieces.train_step.step_flops(stage.depth),
        "hardware_flops": flops,
        "hardware_flops_by_xla": flops * counted / counted_once,
        "flops_per_second": flops / seconds,
        "share_of_matrix_rate": flops / seconds / rate,
        "model_share_of_matrix_rate": pieces.train_step.step_flops(stage.depth) / seconds / rate,
        "peak_bytes": peak_bytes(stage.program),
        "temporary_bytes": stage.program.memory_analysis().temp_size_in_bytes,
        "seconds_between_dispatches": between,
        "share_between_dispatches": between / (between + steps * seconds),
        "share_waiting_for_data": sum(stage.waits) / sum(stage.waits + in_dispatches),
        "torch_step_seconds": {name: _spread(all) for name, all in stage.torch_seconds.items()},
    }


def _once(depth: Any) -> Depth:
    """The depth that a program of this depth has if every loop goes round once."""
    return Depth(1, min(max(drawn.T for _, drawn in as_depth_choice(depth).draws), 2))


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, (25, 50, 75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def table(found: dict[str, Any]) -> Table:
    """The figures as one prints them."""
    rate = found["matrix_flops_per_second"]
    title = (
        f"one step of {found['batch_size']:,} examples on {found['devices']} x {found['device']}; "
        f"a product of matrices in {found['dtype']}: {_giga(rate['median'])} GFLOP/s "
        f"({_giga(rate['low'])} to {_giga(rate['high'])})"
    )
    peak = found["device_peak_bytes"]  # not known on CPU
    caption = f"at the peak the device had {peak / 1e6:,.1f} MB in use" if peak else None
    depths = (f"depth {stage['depth']}" for stage in found["stages"])
    shown = Table("", *depths, title=title, caption=caption)
    rows = {
        "step": lambda one: _milliseconds(one["step_seconds"]),
        "examples/s": lambda one: f"{one['examples_per_second']:,.0f}",
        "model GFLOPs": lambda one: _giga(one["model_flops"]),
        "computed GFLOPs": lambda one: _giga(one["hardware_flops"]),
        "  as XLA counts": lambda one: _giga(one["hardware_flops_by_xla"]),
        "GFLOP/s": lambda one: _giga(one["flops_per_second"]),
        "share of the matrix rate": lambda one: f"{one['share_of_matrix_rate']:.1%}",
        "  of model FLOPs": lambda one: f"{one['model_share_of_matrix_rate']:.1%}",
        "memory, at the peak": lambda one: f"{one['peak_bytes'] / 1e6:,.1f} MB",
        "  of it temporary": lambda one: f"{one['temporary_bytes'] / 1e6:,.1f} MB",
        "time between dispatches": lambda one: f"{one['share_between_dispatches']:.2%}",
        "waiting for data": lambda one: f"{one['share_waiting_for_data']:.2%}",
        "compilation": lambda one: f"{one['compile_seconds']:.1f} s",
    }
    for peer in found["stages"][0]["torch_step_seconds"]:
        rows[peer] = lambda one, peer=peer: _milliseconds(one["torch_step_seconds"][peer])
    for name, show in rows.items():
        shown.add_row(name, *map(show, found["stages"]))
    return shown


def _giga(number: float) -> str:
    return f"{number / 1e9:,.3g}" if number < 1e11 else f"{number / 1e9:,.0f}"


def _milliseconds(spread: dict[str, float]) -> str:
    median, low, high = (f"{1e3 * spread[name]:,.4g}" for name in ("median", "low", "high"))
    return f"{median} ms ({low} to {high})"


def define_flags() -> None:
    """Defines those of the command."""
    config_flags.DEFINE_config_file("config", None, "File that describes the experiment.")
    flags.DEFINE_integer("turns", 7, "How often everything is timed.", lower_bound=1)
    flags.DEFINE_integer("steps", 5, "Of one dispatch of many steps.", lower_bound=2)
    flags.DEFINE_integer("products", 8, "Of matrices, one after another.", lower_bound=1)
    flags.DEFINE_integer("matrix_size", 0, "0: 2,048 on CPU, else 8,192.", lower_bound=0)
    flags.DEFINE_bool("torch", False, "Time PyTorch beside it.")
    flags.DEFINE_string("json", None, "File to write the figures to.")


def main(values: flags.FlagValues) -> None:
    """The command line."""
    values.config.training.steps_per_dispatch = values.steps
    dataset = data.load(values.config.data)
    pieces = experiment.build(values.config, experiment.Task.of(dataset))
    stages, rates = measure(pieces, dataset, values)
    found = figures(pieces, stages, rates, values.steps)
    Console(highlight=False).print(table(found))
    if values.json:
        pathlib.Path(values.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    command.main(define_flags, main, required=["config"])
