"""Measures the cost of a training step on this machine, for each stage of the curriculum.

    python benchmarks/step_cost.py sudoku_mini
    python benchmarks/step_cost.py sudoku_extreme --json=FILE.json    # on a GPU
    python benchmarks/step_cost.py sudoku_mini --torch                # PyTorch beside it

Trains the model of the config for a while on its own puzzles. The stages of the curriculum and a
product of two large matrices are timed in turns, so that other load on the machine affects all of
them alike. Prints one table with medians and quartiles over the turns:

- seconds of a step, examples per second, FLOPs per step and per second;
- the share of the matrix rate: FLOPs that the step really computes (including those that the
  backward pass computes again), divided by the time and by the rate that the matrix product reaches
  in the same dtype;
- peak memory by XLA's analysis;
- time between dispatches: how much longer a dispatch of one step takes than one step within a
  dispatch of many, because of arguments, the wait for the result, and the host;
- waiting for data: time in which the host waits for the data of a dispatch of many steps. Training
  sets above `data.max_device_megabytes` are streamed;
- seconds of compilation.

XLA counts the body of a loop once. The FLOPs shown "by XLA's count" are therefore its count for a
program whose loops run once, scaled by the formula.

With --profile=FOLDER, one step of the last stage is recorded by JAX's profiler, for TensorBoard or
Perfetto.

With --torch, the step of the same model in PyTorch (`torch_step.py`) takes its turns too, as
written and with `torch.compile`; each library has all cores while it runs. This needs the extra
`peers`.

Not covered: evaluation, checkpoints (`checkpoint_cost.py`), and learning.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import flags
from matrix_rate import MatrixProducts
from measuring import Spread, Training, compile_step, load_experiment
from rich.console import Console
from rich.table import Table

from cgar_jax.commands import command_line, runner
from cgar_jax.curricula import Depth, StageDepth, as_depth_choice
from cgar_jax.experiment import Experiment
from cgar_jax.planning import step_costs
from cgar_jax.progress import Status
from cgar_jax.training.programs import peak_bytes

# Else JAX takes three quarters of a GPU's memory when it starts, and PyTorch finds too little.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Threads of PyTorch keep looking for work for a while after a call.
SECONDS_OF_REST_AFTER_TORCH = 1.0


@dataclasses.dataclass
class TimedStage:
    """One stage of the curriculum with its measurements; a list has one figure per turn.

    Attributes:
      depth: depth of its steps.
      program: compiled `TrainStep.run`.
      compile_seconds: seconds of tracing and compilation.
      peers: steps of the same model in other libraries, by name.
      step_seconds: seconds of one step within a dispatch of many.
      single_seconds: seconds of a dispatch of one step.
      waits: seconds of waiting for the data of a dispatch of many.
      peer_seconds: seconds of a step in the other libraries, by name.
    """

    depth: StageDepth
    program: Any
    compile_seconds: float
    peers: Mapping[str, Callable[[], float]]
    step_seconds: list[float] = dataclasses.field(default_factory=list)
    single_seconds: list[float] = dataclasses.field(default_factory=list)
    waits: list[float] = dataclasses.field(default_factory=list)
    peer_seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def take_turn(self, training: Training, steps: int, warm_up: bool) -> None:
        """Runs a dispatch of one step, a dispatch of many, and a step of each other library.

        Args:
          training: the training run.
          steps: number of steps in the dispatch of many.
          warm_up: whether to discard the figures.
        """
        single, _ = training.dispatch(self.program)
        many, waited = training.dispatch(self.program)
        of_peers = {}
        for name, step in self.peers.items():
            begin = time.perf_counter()
            step()
            of_peers[name] = time.perf_counter() - begin
        if self.peers:
            time.sleep(SECONDS_OF_REST_AFTER_TORCH)
        if warm_up:
            return
        self.single_seconds.append(single)
        self.step_seconds.append(many / steps)
        self.waits.append(waited)
        for name, seconds in of_peers.items():
            self.peer_seconds.setdefault(name, []).append(seconds)


def measure(values: flags.FlagValues) -> tuple[Experiment, list[TimedStage], list[float]]:
    """Times all stages and the matrix product in turns.

    Args:
      values: this benchmark's flags.

    Returns:
      The experiment, its stages, and the matrix rates in FLOP/s.
    """
    with Status() as status:
        status.update("loading puzzles")
        built, dataset = load_experiment(values.config)
        depths = list(dict.fromkeys(stage.depth for stage in built.stages))
        lengths = [1, values.steps] * len(depths) * (values.turns + 1) + [1]
        training, stages, rates = Training(built, dataset, lengths), [], []
        for depth in depths:
            status.update(f"compiling depth {depth}")
            begin = time.perf_counter()
            program = compile_step(built, depth, training.template)
            compile_seconds = time.perf_counter() - begin
            peers = torch_steps(built, depth) if values.torch else {}
            stages.append(TimedStage(depth, program, compile_seconds, peers))
        size = values.matrix_size or (2048 if jax.default_backend() == "cpu" else 8192)
        products = MatrixProducts(built.mesh, built.model.dtype, size, values.products)
        for turn in range(values.turns + 1):
            status.update(f"timing, turn {turn} of {values.turns}" if turn else "warming up")
            rate = products.measure()
            if turn:
                rates.append(rate)
            for stage in stages:
                stage.take_turn(training, values.steps, warm_up=turn == 0)
        if values.profile:
            status.update("recording a profile")
            with jax.profiler.trace(values.profile):
                training.dispatch(stages[-1].program)
    return built, stages, rates


def torch_steps(built: Experiment, depth: StageDepth) -> dict[str, Callable[[], float]]:
    """Returns PyTorch's steps of a depth, by the name under which they are reported."""
    from torch_step import TorchStep  # PyTorch is an optional dependency

    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    arguments = built.model, depth.full, built.config.batch_size, device
    return {
        "PyTorch": TorchStep(*arguments).step,
        "PyTorch, compiled": TorchStep(*arguments, compiled=True).step,
    }


def figures(
    built: Experiment, stages: list[TimedStage], rates: list[float], steps: int
) -> dict[str, Any]:
    """Returns all figures for JSON: seconds, bytes and FLOPs.

    Args:
      built: the experiment.
      stages: its stages, timed.
      rates: matrix rates, in FLOP/s.
      steps: number of steps in a dispatch of many.
    """
    rate = Spread.of(rates)
    device = built.mesh.local_devices[0]
    return {
        "device": device.device_kind,
        "devices": built.mesh.size,
        "dtype": built.model.dtype,
        "batch_size": built.config.batch_size,
        "matrix_flops_per_second": rate._asdict(),
        "device_peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use"),
        "stages": [_stage_figures(built, stage, rate.median, steps) for stage in stages],
    }


def _stage_figures(built: Experiment, stage: TimedStage, rate: float, steps: int) -> dict[str, Any]:
    step = Spread.of(stage.step_seconds)
    seconds, batch_size = step.median, built.config.batch_size
    between = Spread.of(np.subtract(stage.single_seconds, stage.step_seconds)).median
    model_flops = built.train_step.step_flops(stage.depth)
    flops = step_costs.hardware_flops(built, stage.depth)
    counted = stage.program.cost_analysis()["flops"] * built.mesh.size
    counted_once = step_costs.hardware_flops(built, _depth_with_loops_once(stage.depth))
    in_dispatches = [steps * each for each in stage.step_seconds]
    return {
        "depth": str(stage.depth),
        "compile_seconds": stage.compile_seconds,
        "step_seconds": step._asdict(),
        "examples_per_second": batch_size / seconds,
        "model_flops": model_flops,
        "hardware_flops": flops,
        "hardware_flops_by_xla": flops * counted / counted_once,
        "flops_per_second": flops / seconds,
        "share_of_matrix_rate": flops / seconds / rate,
        "model_share_of_matrix_rate": model_flops / seconds / rate,
        "peak_bytes": peak_bytes(stage.program),
        "temporary_bytes": stage.program.memory_analysis().temp_size_in_bytes,
        "seconds_between_dispatches": between,
        "share_between_dispatches": between / (between + steps * seconds),
        "share_waiting_for_data": sum(stage.waits) / sum(stage.waits + in_dispatches),
        "torch_step_seconds": {
            name: Spread.of(values)._asdict() for name, values in stage.peer_seconds.items()
        },
    }


def _depth_with_loops_once(depth: StageDepth) -> Depth:
    """Returns the depth that a program of this depth would have if every loop ran once."""
    return Depth(1, min(max(drawn.T for _, drawn in as_depth_choice(depth).draws), 2))


def table(found: dict[str, Any]) -> Table:
    """Returns the printed table of the figures."""
    rate = Spread(**found["matrix_flops_per_second"])
    title = (
        f"one training step on {found['batch_size']:,} examples, {found['devices']} x "
        f"{found['device']}; matrix rate in {found['dtype']}: {_giga(rate.median)} GFLOP/s "
        f"({_giga(rate.low)} to {_giga(rate.high)})"
    )
    peak = found["device_peak_bytes"]  # unknown on CPU
    caption = f"peak memory of the device: {peak / 1e6:,.1f} MB" if peak else None
    depths = (f"depth {stage['depth']}" for stage in found["stages"])
    shown = Table("", *depths, title=title, caption=caption)
    rows = {
        "step": lambda one: _milliseconds(one["step_seconds"]),
        "examples/s": lambda one: f"{one['examples_per_second']:,.0f}",
        "model GFLOPs": lambda one: _giga(one["model_flops"]),
        "GFLOPs with recomputation": lambda one: _giga(one["hardware_flops"]),
        "  by XLA's count": lambda one: _giga(one["hardware_flops_by_xla"]),
        "GFLOP/s": lambda one: _giga(one["flops_per_second"]),
        "share of the matrix rate": lambda one: f"{one['share_of_matrix_rate']:.1%}",
        "  model FLOPs only": lambda one: f"{one['model_share_of_matrix_rate']:.1%}",
        "peak memory": lambda one: f"{one['peak_bytes'] / 1e6:,.1f} MB",
        "  temporary arrays": lambda one: f"{one['temporary_bytes'] / 1e6:,.1f} MB",
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
    return Spread(**spread).show(",.4g", "ms", factor=1e3)


def define_flags() -> None:
    """Defines this benchmark's flags."""
    command_line.define_config()
    flags.DEFINE_integer("turns", 7, "number of times that everything is timed", lower_bound=1)
    flags.DEFINE_integer("steps", 5, "steps in a dispatch of many steps", lower_bound=2)
    flags.DEFINE_integer("products", 8, "matrix products, one after another", lower_bound=1)
    flags.DEFINE_integer(
        "matrix_size", 0, "rows of the matrices; 0 means 2,048 on CPUs, else 8,192", lower_bound=0
    )
    flags.DEFINE_bool("torch", False, "time PyTorch beside it")
    command_line.define_path("json", "file to write the figures to")
    command_line.define_path("profile", "folder to write a profile of one step to")


def main(values: flags.FlagValues) -> None:
    """Runs the benchmark."""
    values.config.training.steps_per_dispatch = values.steps
    found = figures(*measure(values), values.steps)
    Console(highlight=False).print(table(found))
    if values.json:
        pathlib.Path(values.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    runner.main(define_flags, main, required=["config"])
