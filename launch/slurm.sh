#!/usr/bin/env bash
# Trains on the GPUs of one or more nodes under SLURM: submits a job that resumes by itself.
#
# Usage:
#     launch/slurm.sh --nodes=2 --gpus_per_node=8 -- sudoku_extreme
#     launch/slurm.sh --sweep -- sudoku_mini       # a job array with one job per run of the sweep
#
# Options:
#     --nodes=1            number of nodes per run
#     --gpus_per_node=1    GPUs per node, with one task for each; 0 trains on CPUs with one task
#                          per node
#     --cpus_per_task=8    CPU cores per task
#     --time=24:00:00      time limit of a job
#     --save_seconds=300   seconds before the time limit at which the run saves, stops and goes
#                          back to the queue
#     --max_restarts=100   maximum number of times that a job goes back to the queue
#     --sbatch=OPTIONS     more options for sbatch, such as --sbatch='--partition=gpu --account=me'
#     --sweep              submit the sweep of the config; see launch/sweep.py
#     --dry_run            print the sbatch command and the job script, and submit nothing
#     -- CONFIG ...        arguments of `cgar train`
#
# The environment variable PYTHON chooses the Python, for example PYTHON=.venv/bin/python.
#
# The output of a job goes to runs/cgar_jax-JOB.log. All nodes must share the run's folder, which
# lies in runs/ unless --workdir names another.
#
# There is one task per GPU because under SLURM, JAX gives the task with SLURM_LOCALID=I the GPU
# number I of its node. Every task sees all GPUs of its node.
#
# Not covered: containers and environment modules. The script has been tested with stand-ins for
# sbatch, srun and scontrol, not yet on a real cluster.

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
