#!/usr/bin/env bash
# Trains on a slice of a TPU pod (TPU VMs of Google Cloud), from any machine that has gcloud.
#
#     launch/tpu_pod.sh create --name=cgar --zone=us-east5-b --accelerator=v6e-16 --spot
#     launch/tpu_pod.sh run --name=cgar --zone=us-east5-b --accelerator=v6e-16 --spot \
#         --bucket=my-runs -- --config=configs/sudoku_extreme.py
#     launch/tpu_pod.sh logs --name=cgar --zone=us-east5-b
#     launch/tpu_pod.sh stop --name=cgar --zone=us-east5-b
#
# create makes the slice and installs this repository on its hosts, as it is here. run starts the
# trainer on all of them and waits; where it is stopped (143) or killed, loses a host (75) or the
# slice is preempted, it starts it again, on a new slice if need be. The training goes on without
# run, and the same run again waits for it. logs follows the output of the first host. stop lets the
# trainer save and deletes the slice.
#
#     --name=NAME          of the slice
#     --zone=ZONE          where it is; by default that of `gcloud config`
#     --accelerator=TYPE   such as v5litepod-16 or v6e-16
#     --version=VERSION    of its software; by default what goes with the accelerator
#     --spot               cheaper, and preempted at any time
#     --max_restarts=100   how often run starts the trainer again at most
#     --nfs=SERVER:/PATH   has the folder runs/ of all hosts, which outlives them (Filestore)
#     --bucket=NAME        or this bucket has it, mounted by Cloud Storage FUSE; one with a
#                          hierarchical namespace renames a finished checkpoint at one stroke
#     --one_host           or the slice has one host, and what it has not copied away is lost
#     --dry_run            prints the commands

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

name='' zone='' accelerator='' version='' spot=false max_restarts=100
nfs='' bucket='' one_host=false
action=${1-}
case $action in
create | run | logs | stop) shift ;;
--help) ;;
*) fail "say what to do: create, run, logs or stop; --help tells more" ;;
esac
parse "name zone accelerator version spot max_restarts nfs bucket one_host" "$@"
need_numbers max_restarts
[[ -n $name ]] || fail "give --name, of the slice"
where=("$name")
[[ -z $zone ]] || where+=("--zone=$zone")

tpu() { perform gcloud compute tpus tpu-vm "$@"; }

# on WORKER COMMAND: on a host, or on all. gcloud tries again where a connection fails or breaks, so
# each command may run twice.
on() { tpu ssh "${where[@]}" "--worker=$1" "--command=$2"; }

default_version() {
    case $accelerator in
    v6e-*) echo v2-alpha-tpuv6e ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    *) echo tpu-ubuntu2204-base ;;
    esac
}

# Its parts are joined by &&: bash does not stop at an error inside a condition.
create() {
    [[ -n $accelerator ]] || fail "give --accelerator, such as --accelerator=v6e-16"
    local options=("--accelerator-type=$accelerator" "--version=${version:-$(default_version)}")
    [[ $spot == false ]] || options+=(--spot)
    tpu create "${where[@]}" "${options[@]}" && install
}

# The hosts come with an older Python: uv brings one.
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

# Mounts runs/ unless it is mounted. Hosts must not remember what a folder had in it before.
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

# The trainer runs on its own and holds a lock, so that a broken connection does not end it, one
# more start changes nothing, and whoever waits for the lock waits for its end.
start() {
    local trainer
    trainer=".venv/bin/python -u -m cgar_jax train $(quoted "$@") & echo \$! >pid
        code=0; wait \$! || code=\$?; echo \$code >exit_code"
    on all "cd cgar_jax && mkdir -p runs && { mountpoint -q runs || { $(share); }; } &&
        exec 9>running && if flock -n 9; then
        rm -f exit_code; setsid nohup bash -c $(quoted "$trainer") >>train.log 2>&1 </dev/null & fi"
}

# A host that was started anew has no exit code to tell: it was lost.
wait_for_end() { on all "cd cgar_jax && flock running true; exit \$(cat exit_code || echo 75)"; }

preempted() {
    [[ $(tpu describe "${where[@]}" '--format=value(state)') =~ ^(PREEMPTED|TERMINATED)$ ]]
}

run() {
    need_config
    [[ -n $nfs || -n $bucket || $one_host == true ]] ||
        fail "give --nfs or --bucket: all hosts share runs/ (or --one_host, if there is just one)"
    [[ " $* " != *" --workdir="* || " $* " == *" --workdir=runs/"* ]] ||
        fail "--workdir has to be in runs/, which the hosts share"
    local restarts=0 code
    while true; do
        code=0
        start "$@" && wait_for_end || code=$?
        [[ $dry_run == false ]] || return 0
        if preempted; then
            echo "the slice was preempted: making a new one" >&2
            tpu delete "${where[@]}" --quiet
            until create; do sleep 60; done
        elif ((code != 75 && (code <= 130 || code >= 160))); then
            return "$code"
        fi
        ((restarts++ < max_restarts)) || return "$code"
        echo "exit code $code: starting again from the last checkpoint" >&2
    done
}

stop() {
    on all "cd cgar_jax &&
        flock -n running true || { kill -TERM \$(cat pid); flock running true; }" ||
        echo "the trainer could not be asked to save; the last checkpoint is what there is" >&2
    tpu delete "${where[@]}" --quiet
}

case $action in
create) create ;;
run) run "${arguments[@]}" ;;
logs) on 0 'tail -n 100 -F cgar_jax/train.log' ;;
stop) stop ;;
esac
