#!/usr/bin/env bash
# Measures the full-size model on the GPU of this machine, then trains it for about half an hour.
#
# Usage:
#     launch/one_gpu.sh --source=FOLDER
#
# Options:
#     --source=FOLDER      folder with train.csv and test.csv in the schema of Sudoku-Extreme
#     --steps=24000        number of training steps
#     --method=cgar        training method, such as cgar, trm, pdc or plateau
#     --workdir=runs/one_gpu   folder of the run
#     --dry_run            print the commands, and run nothing
#     -- OPTION ...        options for both commands, such as --config.training.microbatches=2
#
# The environment variable PYTHON chooses the Python, for example PYTHON=.venv/bin/python.
#
# First, benchmarks/step_cost.py times the steps of all curriculum stages, in turns with a matrix
# product. Then `cgar train` trains on the 1,000 puzzles of FOLDER/train.csv and scores the model on
# FOLDER/test.csv. The results are in benchmark.json and result.json in the run's folder. If the
# training is interrupted, the same command resumes it.
#
# The default number of steps is an estimate for an H200 that reaches 40 % of its peak. For another
# GPU, ask `cgar estimate sudoku_extreme --device=KIND`.
#
# Not covered: several GPUs, and repeated runs with other seeds. The script has not been run on a
# GPU yet.

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

source='' steps=24000 method=cgar workdir=runs/one_gpu python=${PYTHON:-python}
parse "source steps method workdir" "$@"
need_numbers steps
[[ -n $source ]] || fail "--source is missing; give the folder with train.csv and test.csv as --source=FOLDER"

config=("--config=configs/sudoku_extreme.py:$method" "--config.data.source=$source")
perform mkdir -p "$workdir"
perform "$python" benchmarks/step_cost.py "${config[@]}" "${arguments[@]}" \
    --json="$workdir/benchmark.json"
perform "$python" -m cgar_jax train "${config[@]}" "${arguments[@]}" \
    --config.training.steps="$steps" --workdir="$workdir"
