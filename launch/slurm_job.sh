#!/usr/bin/env bash
# The job that launch/slurm.sh submits; it runs in the folder it was submitted from.
#
# It starts the trainer on every task. If the trainer was stopped (exit code 143) or lost a task
# (75), the job goes back to the queue. A killed task exits with 128 + signal, and srun reports that
# code rather than the 75 of the tasks that lost it, because it is higher.

set -euo pipefail

program=(-m cgar_jax train)
job=$SLURM_JOB_ID
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    program=(launch/sweep.py "--index=$SLURM_ARRAY_TASK_ID" --)
    # One job of an array has the number of the array itself. Requeueing that number would requeue
    # every job of the array.
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi

# srun returns the highest exit code of all tasks. With --kill-on-bad-exit=0, a task that has
# stopped does not end the others while they save; --wait ends a task that hangs after the others.
code=0
srun --kill-on-bad-exit=0 --wait=300 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    "$PYTHON" "${program[@]}" "$@" || code=$?

if ((code == 143 || code == 75 || (SLURM_NTASKS > 1 && code > 130 && code < 160))); then
    if ((${SLURM_RESTART_COUNT:-0} < MAX_RESTARTS)); then
        # A full disk behind the output must not keep the job from the queue.
        echo "exit code $code: job $job goes back to the queue and will resume" || true
        scontrol requeue "$job"
    else
        echo "exit code $code after $MAX_RESTARTS restarts: not queued again; resubmit to resume" >&2
    fi
fi
exit "$code"
