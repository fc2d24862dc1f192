#!/usr/bin/env bash
# Trains on Kubernetes: submits a JobSet with one pod per host, on GPU nodes or on a TPU slice of
# GKE.
#
# Usage:
#     launch/kubernetes.sh --image=IMAGE --hosts=4 --gpus=8 --claim=runs -- sudoku_extreme
#     launch/kubernetes.sh --image=IMAGE --hosts=4 --tpu=tpu-v5-lite-podslice --topology=4x4 \
#         --chips=4 --bucket=my-runs -- sudoku_extreme
#
# Options:
#     --image=IMAGE        container image, built from the Dockerfile with EXTRAS=train,cuda or
#                          EXTRAS=train,tpu, or another one with cgar_jax installed and `python`
#                          on its path
#     --name=cgar-jax      name of the JobSet and of the run's folder
#     --hosts=1            number of pods, one on each node
#     --gpus=N             GPUs per node; one process drives all of them
#     --tpu=TYPE           train on TPUs instead: accelerator type of the GKE node pool
#     --topology=AxB       topology of the TPU slice
#     --chips=4            TPU chips per host
#     --claim=NAME         keep the run's folder on this volume claim; all pods must be able to
#                          write to it
#     --bucket=NAME        or keep it in this bucket, mounted with Cloud Storage FUSE (GKE only);
#                          choose a bucket with a hierarchical namespace, because it renames a
#                          finished checkpoint in one operation
#     --service_account=default   Kubernetes service account; needs access to the bucket
#     --max_restarts=100   maximum number of restarts from the last checkpoint
#     --dry_run            print the kubectl command and the manifest, and submit nothing
#     -- CONFIG ...        arguments of `cgar train`
#
# All pods restart together when one of them is preempted, stopped (exit code 143), loses another
# (75) or is killed. Bad input (2), divergence (3) and a crash (1) end the JobSet. The cluster needs
# the JobSet controller 0.6 or newer.
#
# Follow the output:  kubectl logs --follow --selector=jobset.sigs.k8s.io/jobset-name=NAME
# Save and stop:      kubectl delete jobset NAME
#
# Not covered: the script builds no image and creates no cluster, volume or bucket. It has been
# tested with a stand-in for kubectl, not yet on a real cluster.

set -euo pipefail
cd "$(dirname "$0")/.."
source launch/common.sh

image='' name=cgar-jax hosts=1 gpus=0 tpu='' topology='' chips=4 claim='' bucket=''
service_account=default max_restarts=100
parse "image name hosts gpus tpu topology chips claim bucket service_account max_restarts" "$@"
need_numbers hosts gpus chips max_restarts
need_config
[[ -n $image ]] || fail "--image is missing; give a container image with cgar_jax installed"
[[ $name =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] ||
    fail "--name=$name is not a Kubernetes name; use lowercase letters, digits and hyphens"
if [[ -n $tpu ]]; then
    ((gpus == 0)) || fail "--gpus and --tpu exclude each other; give one of them"
    [[ -n $topology ]] || fail "--tpu needs the topology of the slice, for example --topology=4x4"
else
    ((gpus)) || fail "give --gpus=N, the number of GPUs per node, or --tpu=TYPE"
fi
[[ -n $claim && -z $bucket || -z $claim && -n $bucket ]] ||
    fail "give either --claim or --bucket: all pods share the run's folder, which outlives them"

# Prints a word as YAML. Kubernetes replaces $(NAME) by a variable, unless it is written $$(NAME).
yaml() {
    local word=${1//\'/\'\'}
    echo "'${word//\$(/\$\$(}'"
}

# GKE announces TPU pods to each other. GPU pods get the address of the first pod and their index.
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
        backoffLimit: 0  # if one pod is lost, the JobSet restarts all of them
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes: {containerName: train, operator: In, values: [1, 2, 3]}
        template:
          metadata: {annotations: $annotations}
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 300  # time to save a checkpoint
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
            - name: memory  # shared memory, which NCCL uses within a node
              emptyDir: {medium: Memory}
END
}

if [[ $dry_run == true ]]; then
    echo "# kubectl apply --filename=- with:"
    manifest
else
    manifest | kubectl apply --filename=-
fi
