#!/usr/bin/env bash
# Trains on a slice of a TPU pod (TPU VMs of Google Cloud), from any machine that has gcloud.
#
# Usage:
#     launch/tpu_pod.sh create --name=cgar --zone=us-east5-b --accelerator=v6e-16 --spot
#     launch/tpu_pod.sh run --name=cgar --zone=us-east5-b --accelerator=v6e-16 --spot \
#         --bucket=my-runs -- sudoku_extreme
#     launch/tpu_pod.sh logs --name=cgar --zone=us-east5-b
#     launch/tpu_pod.sh stop --name=cgar --zone=us-east5-b
#
# Actions:
#     create               create the slice and install this checkout on its hosts
#     run                  start the trainer on all hosts and wait for it; restart it if it is
#                          stopped (exit code 143), killed or loses a host (75), and create the
#                          slice again if it was preempted
#     logs                 follow the output of the first host
#     stop                 let the trainer save, then delete the slice
#
# Options:
#     --name=NAME          name of the slice
#     --zone=ZONE          zone of the slice (default: the zone of `gcloud config`)
#     --accelerator=TYPE   accelerator type, such as v5litepod-16 or v6e-16
#     --version=VERSION    software version (default: the one that suits the accelerator)
#     --spot               use spot capacity: cheaper, but may be preempted at any time
#     --max_restarts=100   maximum number of times that run restarts the trainer
#     --nfs=SERVER:/PATH   keep runs/ on this NFS share (Filestore), which outlives the slice
#     --bucket=NAME        or keep runs/ in this bucket, mounted with Cloud Storage FUSE; choose a
#                          bucket with a hierarchical namespace, because it renames a finished
#                          checkpoint in one operation
#     --one_host           or keep runs/ on the only host of the slice; it is lost with the slice
#     --dry_run            print the commands, and run nothing
#     -- CONFIG ...        arguments of `cgar train`
#
# Training continues on the hosts when `run` is interrupted; the same command waits for it again.
#
# Not covered: queued resources, and several slices. The script has been tested with a stand-in for
# gcloud, not yet on a real TPU.

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

name='' zone='' accelerator='' version='' spot=false max_restarts=100
nfs='' bucket='' one_host=false
action=${1-}
case $action in
create | run | logs | stop) shift ;;
--help | -h) ;;
*) fail "name an action: create, run, logs or stop (--help explains them)" ;;
esac
parse "name zone accelerator version spot max_restarts nfs bucket one_host" "$@"
need_numbers max_restarts
[[ -n $name ]] || fail "--name is missing; give the name of the slice"
where=("$name")
[[ -z $zone ]] || where+=("--zone=$zone")

tpu() { perform gcloud compute tpus tpu-vm "$@"; }

# on WORKER COMMAND: runs a command on one host, or on `all`. gcloud retries when a connection fails
# or breaks, so every command must tolerate running twice.
on() { tpu ssh "${where[@]}" "--worker=$1" "--command=$2"; }

default_version() {
    case $accelerator in
    v6e-*) echo v2-alpha-tpuv6e ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    *) echo tpu-ubuntu2204-base ;;
    esac
}

# The parts are joined by && because bash does not stop at an error inside a condition.
create() {
    [[ -n $accelerator ]] || fail "--accelerator is missing; give a type, for example --accelerator=v6e-16"
    local options=("--accelerator-type=$accelerator" "--version=${version:-$(default_version)}")
    [[ $spot == false ]] || options+=(--spot)
    tpu create "${where[@]}" "${options[@]}" && install
}

# The hosts come with an older Python; uv installs a newer one.
install() {
    local package=build/cgar_jax.tar.gz
    perform mkdir -p build &&
        perform tar --exclude=__pycache__ -czf $package \
            pyproject.toml setup.py README.md LICENSE cgar_jax configs &&
        tpu scp $package "$name:" ${zone:+"--zone=$zone"} --worker=all &&
        on all "mkdir -p cgar_jax && tar -xzf cgar_jax.tar.gz -C cgar_jax && cd cgar_jax &&
            python3 -m pip install --quiet --user uv &&
            python3 -m uv venv --quiet --allow-existing --python 3.12 &&
            python3 -m uv pip install --quiet -e '.[train,tpu]'"
}

# Prints the command that mounts runs/. The hosts must not cache the contents of folders, because
# they would miss the files that other hosts write.
share() {
    if [[ -n $nfs ]]; then
        echo "sudo apt-get install -qq nfs-common && sudo mount -t nfs $(quoted "$nfs") runs"
    elif [[ -n $bucket ]]; then
        echo "$(gcsfuse_installed) && gcsfuse --implicit-dirs --rename-dir-limit=100000" \
            "--metadata-cache-ttl-secs=0 $(quoted "$bucket") runs"
    else
        echo true
    fi
}

gcsfuse_installed() {
    local packages=https://packages.cloud.google.com/apt key=/usr/share/keyrings/cloud.google.asc
    cat <<END
{ command -v gcsfuse || {
    curl -sS $packages/doc/apt-key.gpg | sudo tee $key >/dev/null &&
    echo deb [signed-by=$key] $packages gcsfuse-\$(lsb_release -cs) main |
        sudo tee /etc/apt/sources.list.d/gcsfuse.list &&
    sudo apt-get update -qq && sudo apt-get install -qq gcsfuse; }; }
END
}

# Starts the trainer in a session of its own, so that a broken connection does not end it. It holds
# a lock: starting it twice has no effect, and waiting for the lock means waiting for its end.
start() {
    local trainer
    trainer=".venv/bin/python -u -m cgar_jax train $(quoted "$@") & echo \$! >pid
        code=0; wait \$! || code=\$?; echo \$code >exit_code"
    on all "cd cgar_jax && mkdir -p runs && { mountpoint -q runs || { $(share); }; } &&
        exec 9>running && if flock -n 9; then
        rm -f exit_code; setsid nohup bash -c $(quoted "$trainer") >>train.log 2>&1 </dev/null & fi"
}

# A host that was restarted has no exit code left; it counts as lost.
wait_for_end() { on all "cd cgar_jax && flock running true; exit \$(cat exit_code || echo 75)"; }

preempted() {
    [[ $(tpu describe "${where[@]}" '--format=value(state)') =~ ^(PREEMPTED|TERMINATED)$ ]]
}

run() {
    need_config
    [[ -n $nfs || -n $bucket || $one_host == true ]] ||
        fail "give --nfs or --bucket, so that all hosts share runs/ (or --one_host for one host)"
    [[ " $* " != *" --workdir="* || " $* " == *" --workdir=runs/"* ]] ||
        fail "--workdir must lie in runs/, which the hosts share; use --workdir=runs/NAME"
    local restarts=0 code
    while true; do
        code=0
        start "$@" && wait_for_end || code=$?
        [[ $dry_run == false ]] || return 0
        if preempted; then
            note "the slice was preempted; creating a new one"
            tpu delete "${where[@]}" --quiet
            until create; do sleep 60; done
        elif ((code != 75 && (code <= 130 || code >= 160))); then
            return "$code"
        fi
        ((restarts++ < max_restarts)) || return "$code"
        note "exit code $code: restarting from the last checkpoint"
    done
}

stop() {
    on all "cd cgar_jax &&
        flock -n running true || { kill -TERM \$(cat pid); flock running true; }" ||
        note "could not ask the trainer to save; its last checkpoint is kept"
    tpu delete "${where[@]}" --quiet
}

case $action in
create) create ;;
run) run "${arguments[@]}" ;;
logs) on 0 'tail -n 100 -F cgar_jax/train.log' ;;
stop) stop ;;
esac
