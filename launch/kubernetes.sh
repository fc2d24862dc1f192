#!/usr/bin/env bash
# Trains on Kubernetes: a JobSet with one pod for each host, on a TPU slice of GKE or on GPU nodes.
#
#     launch/kubernetes.sh --image=IMAGE --hosts=4 --gpus=8 --claim=runs -- --config=FILE
#     launch/kubernetes.sh --image=IMAGE --hosts=4 --tpu=tpu-v5-lite-podslice --topology=4x4 \
#         --chips=4 --bucket=my-runs -- --config=FILE
#
#     --image=IMAGE        built from the Dockerfile with EXTRAS=train,cuda or EXTRAS=train,tpu, or
#                          another one with cgar_jax installed and `python` on its path
#     --name=cgar-jax      of the JobSet, and of the run's folder
#     --hosts=1            pods, one on each node
#     --gpus=N             GPUs of a node; one process drives them all
#     --tpu=TYPE           accelerator of the GKE node pool instead, with
#     --topology=AxB       that of the slice, and
#     --chips=4            TPU chips of a host
#     --claim=NAME         the run's folder is on this volume claim, which all pods can write to
#     --bucket=NAME        or in this bucket, mounted by Cloud Storage FUSE (GKE); one with a
#                          hierarchical namespace renames a finished checkpoint at one stroke
#     --service_account=default   has to have access to the bucket
#     --max_restarts=100   how often it begins anew from the last checkpoint at most
#     --dry_run            prints the command and the manifest instead of applying it
#
# Any pod that is preempted, stopped (143), lost (75) or killed begins all of them anew. Bad input
# (2), divergence (3) and a crash (1) end the JobSet. It needs the JobSet controller 0.6 or newer.
# `kubectl logs --follow --selector=jobset.sigs.k8s.io/jobset-name=NAME` shows the output, `kubectl
# delete jobset NAME` saves and stops.

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

image='' name=cgar-jax hosts=1 gpus=0 tpu='' topology='' chips=4 claim='' bucket=''
service_account=default max_restarts=100
parse "image name hosts gpus tpu topology chips claim bucket service_account max_restarts" "$@"
need_numbers hosts gpus chips max_restarts
need_config
[[ -n $image ]] || fail "give --image, the container that has cgar_jax installed"
[[ $name =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] ||
    fail "--name=$name: Kubernetes wants small letters, digits and hyphens"
if [[ -n $tpu ]]; then
    ((gpus == 0)) || fail "give --gpus or --tpu, not both"
    [[ -n $topology ]] || fail "--tpu needs --topology, such as --topology=4x4"
else
    ((gpus)) || fail "give --gpus, the GPUs of a node, or --tpu"
fi
[[ -n $claim && -z $bucket || -z $claim && -n $bucket ]] ||
    fail "give --claim or --bucket: all pods have to share the run's folder, and it outlives them"

# A word as YAML. Kubernetes would put a variable in the place of $(NAME).
yaml() {
    local word=${1//\'/\'\'}
    echo "'${word//\$(/\$\$(}'"
}

# TPU pods know each other from GKE. Others are told: the first pod has a name, all have an index.
trainer_arguments() {
    local argument
    for argument in "--workdir=/runs/$name" "${arguments[@]}"; do
        echo "              - $(yaml "$argument")"
    done
    if [[ -z $tpu ]]; then
        echo "              - --coordinator_address=$name-train-0-0.$name:8476"
        echo "              - --num_processes=$hosts"
        echo "              - --process_id=\$(JOB_COMPLETION_INDEX)"
    fi
}

if [[ -n $tpu ]]; then
    resources="google.com/tpu: $chips"
    nodes="{cloud.google.com/gke-tpu-accelerator: $(yaml "$tpu"),
              cloud.google.com/gke-tpu-topology: $(yaml "$topology")}"
else
    resources="nvidia.com/gpu: $gpus"
    nodes='{}'
fi
if [[ -n $claim ]]; then
    annotations='{}'
    volume="persistentVolumeClaim: {claimName: $(yaml "$claim")}"
else
    annotations="{gke-gcsfuse/volumes: 'true'}"
    volume="csi: {driver: gcsfuse.csi.storage.gke.io,
                volumeAttributes: {bucketName: $(yaml "$bucket"),
                  mountOptions: 'implicit-dirs,rename-dir-limit=100000'}}"
fi

manifest() {
    cat <<END
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: $name}
spec:
  failurePolicy:
    maxRestarts: $max_restarts
    rules:
    - {name: failed, action: FailJobSet, onJobFailureReasons: [PodFailurePolicy]}
  replicatedJobs:
  - name: train
    replicas: 1
    template:
      spec:
        completionMode: Indexed
        completions: $hosts
        parallelism: $hosts
        backoffLimit: 0  # one pod is lost, and the JobSet begins all of them anew
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes: {containerName: train, operator: In, values: [1, 2, 3]}
        template:
          metadata: {annotations: $annotations}
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 300  # time to save
            serviceAccountName: $(yaml "$service_account")
            nodeSelector: $nodes
            containers:
            - name: train
              image: $(yaml "$image")
              command: [python, -u, -m, cgar_jax, train]
              args:
$(trainer_arguments)
              resources: {limits: {$resources}}
              volumeMounts:
              - {name: runs, mountPath: /runs}
              - {name: memory, mountPath: /dev/shm}
            volumes:
            - name: runs
              $volume
            - name: memory  # NCCL shares it within a node
              emptyDir: {medium: Memory}
END
}

if [[ $dry_run == true ]]; then
    echo "# kubectl apply --filename=- with:"
    manifest
else
    manifest | kubectl apply --filename=-
fi
