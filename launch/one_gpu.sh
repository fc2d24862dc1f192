#!/usr/bin/env bash
# Measures the full-size model on the GPU of this machine, and trains it for about half an hour.
#
#     launch/one_gpu.sh --source=FOLDER
#
# The steps of all stages are timed in turns with a product of matrices; then a model is trained on
# the 1,000 puzzles of FOLDER/train.csv and scored on those of FOLDER/test.csv. The figures go to
# benchmark.json and result.json of the run's folder. The number of steps is what an H200 should do
# in the time if it computes at 40 % of its peak; for another GPU see what is said by
# python -m cgar_jax estimate --config=configs/sudoku_extreme.py --device=KIND. The same command
# goes on with a run that was stopped.
#
#     --source=FOLDER      has train.csv and test.csv, in the schema of Sudoku-Extreme
#     --steps=24000        to train for
#     --method=cgar        or another one, such as trm, pdc or plateau
#     --workdir=runs/one_gpu
#     --dry_run            prints the commands
#
# What follows -- is for both, such as -- --config.training.microbatches=2. PYTHON=.venv/bin/python
# chooses the Python.

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

source='' steps=24000 method=cgar workdir=runs/one_gpu python=${PYTHON:-python}
parse "source steps method workdir" "$@"
need_numbers steps
[[ -n $source ]] || fail "give the folder of the puzzles as --source=FOLDER"

config=("--config=configs/sudoku_extreme.py:$method" "--config.data.source=$source")
perform mkdir -p "$workdir"
perform "$python" benchmarks/step_cost.py "${config[@]}" "${arguments[@]}" \
    --json="$workdir/benchmark.json"
perform "$python" -m cgar_jax train "${config[@]}" "${arguments[@]}" \
    --config.training.steps="$steps" --workdir="$workdir"
