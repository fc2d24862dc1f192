"""Tests that `launch/one_gpu.sh` measures and trains the same model."""

from tests.launch import scripts


def test_the_script_times_the_step_and_then_trains_the_model():
    code, output = scripts.run(
        "launch/one_gpu.sh",
        "--dry_run",
        "--source=f",
        "--method=pdc",
        "--",
        "--config.seed=1",
        PYTHON="py",
    )
    assert code == 0, output
    config = "--config=configs/sudoku_extreme.py:pdc --config.data.source=f --config.seed=1"
    assert output.splitlines() == [
        "mkdir -p runs/one_gpu",
        f"py benchmarks/step_cost.py {config} --json=runs/one_gpu/benchmark.json",
        f"py -m cgar_jax train {config} --config.training.steps=24000 --workdir=runs/one_gpu",
    ]
