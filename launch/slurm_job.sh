#!/usr/bin/env bash
# The job that launch/slurm.sh submits, in the folder it was submitted from: the trainer on every
# task, and the job in the queue again where it was stopped (143) or lost a task (75). A task that
# was killed (128 + signal) outranks the 75 of those that lost it.

set -euo pipefail

program=(-m cgar_jax train)
job=$SLURM_JOB_ID
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    program=(launch/sweep.py "--index=$SLURM_ARRAY_TASK_ID" --)
    # One member of an array has the array's own number: it alone would queue all of them again.
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi

# srun gives the highest code of all tasks. A task that has stopped must not end the others while
# they save; one that hangs after the others have ended does not keep the nodes.
code=0
srun --kill-on-bad-exit=0 --wait=300 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    "$PYTHON" "${program[@]}" "$@" || code=$?

if ((code == 143 || code == 75 || (SLURM_NTASKS > 1 && code > 130 && code < 160))); then
    if ((${SLURM_RESTART_COUNT:-0} < MAX_RESTARTS)); then
        echo "exit code $code: job $job goes back to the queue"
        scontrol requeue "$job"
    else
        echo "exit code $code after $MAX_RESTARTS restarts: not queued again" >&2
    fi
fi
exit "$code"
