#!/usr/bin/env bash
# Trains on the GPUs of several nodes under SLURM.
#
#     launch/slurm.sh --nodes=2 --gpus_per_node=8 -- --config=configs/sudoku_extreme.py
#     launch/slurm.sh --sweep -- --config=configs/sudoku_mini.py     # an array: a job for each run
#
#     --nodes=1            nodes of a run
#     --gpus_per_node=1    GPUs on each, and as many tasks; 0 trains on CPUs, one task a node
#     --cpus_per_task=8    cores for each task
#     --time=24:00:00      time limit of a job
#     --save_seconds=300   so long before the limit the run saves, stops and is queued again
#     --max_restarts=100   how often at most
#     --sbatch=OPTIONS     more for sbatch, such as --sbatch='--partition=gpu --account=me'
#     --sweep              runs the sweep of the config, see launch/sweep.py
#     --dry_run            prints the command and the job instead of submitting it
#
# Under SLURM, JAX gives the task with SLURM_LOCALID=I the GPU number I of its node. So there is a
# task for each GPU, and all of them see all GPUs of the node. The output goes to runs/. The run's
# folder, under runs/ unless --workdir says otherwise, has to be one that all nodes share.
# PYTHON=.venv/bin/python chooses the Python.

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

nodes=1 gpus_per_node=1 cpus_per_task=8 time=24:00:00 save_seconds=300 max_restarts=100
sbatch='' sweep=false python=${PYTHON:-python}
parse "nodes gpus_per_node cpus_per_task time save_seconds max_restarts sbatch sweep" "$@"
need_numbers nodes gpus_per_node cpus_per_task save_seconds max_restarts
need_config

options=(--job-name=cgar_jax --output=runs/%x-%j.log --open-mode=append --requeue
    "--nodes=$nodes" "--cpus-per-task=$cpus_per_task" "--time=$time"
    "--signal=TERM@$save_seconds" "--export=ALL,PYTHON=$python,MAX_RESTARTS=$max_restarts")
if ((gpus_per_node)); then
    options+=("--ntasks-per-node=$gpus_per_node" "--gpus-per-node=$gpus_per_node" --gpu-bind=none)
else
    options+=(--ntasks-per-node=1)
fi
if [[ $sweep == true ]]; then
    count=$("$python" launch/sweep.py --count -- "${arguments[@]}")
    options+=("--array=0-$((count - 1))")
fi
read -ra more <<<"$sbatch"
perform mkdir -p runs
perform sbatch "${options[@]}" ${more[@]+"${more[@]}"} launch/slurm_job.sh "${arguments[@]}"
if [[ $dry_run == true ]]; then
    echo "# launch/slurm_job.sh:"
    cat launch/slurm_job.sh
fi
