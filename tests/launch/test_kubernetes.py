"""Tests the JobSet that `launch/kubernetes.sh` submits."""

import json

import pytest
import yaml

from tests.launch import scripts

SLICE = ["--tpu=tpu-v5-lite-podslice", "--topology=4x4", "--chips=4", "--bucket=my-runs"]
GPUS = ["--gpus=8", "--claim=runs"]


def manifest(*options, arguments=("--config=c.py",)):
    every = ["--image=me/cgar:1", "--hosts=4", "--dry_run", *options, "--", *arguments]
    code, output = scripts.run("launch/kubernetes.sh", *every)
    assert code == 0, output
    return yaml.safe_load(output)


def job(made):
    [replicated] = made["spec"]["replicatedJobs"]
    assert replicated["replicas"] == 1
    return replicated["template"]["spec"]


def pod(made):
    return job(made)["template"]["spec"]


def container(made):
    [only] = pod(made)["containers"]
    return only


@pytest.fixture(params=[GPUS, SLICE], ids=["gpus", "tpu"])
def either(request):
    return manifest(*request.param, "--max_restarts=7")


def test_the_manifest_is_a_jobset_with_one_indexed_pod_per_host(either):
    assert (either["apiVersion"], either["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert (job(either)["completions"], job(either)["parallelism"]) == (4, 4)
    assert job(either)["completionMode"] == "Indexed"


def test_a_failure_restarts_all_pods_unless_it_would_happen_again(either):
    assert job(either)["backoffLimit"] == 0
    assert pod(either)["restartPolicy"] == "Never"
    [rule] = job(either)["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["containerName"] == container(either)["name"]
    assert rule["onExitCodes"]["operator"] == "In"
    assert {2, 3} <= set(rule["onExitCodes"]["values"])
    assert not {143, 75, 137} & set(rule["onExitCodes"]["values"])
    policy = either["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 7
    [rule] = policy["rules"]
    assert rule["name"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])


def test_a_pod_has_time_to_save_to_a_volume_that_outlives_it(either):
    assert pod(either)["terminationGracePeriodSeconds"] >= 60
    assert "--workdir=/runs/cgar-jax" in container(either)["args"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container(either)["volumeMounts"]}
    [volume] = [v for v in pod(either)["volumes"] if v["name"] == mounts["/runs"]]
    assert volume.keys() & {"persistentVolumeClaim", "csi"}


def test_gpu_pods_receive_the_coordinator_address_and_their_index():
    made = manifest(*GPUS, "--name=sudoku")
    assert container(made)["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    assert container(made)["args"][-3:] == [
        "--coordinator_address=sudoku-train-0-0.sudoku:8476",
        "--num_processes=4",
        "--process_id=$(JOB_COMPLETION_INDEX)",
    ]


def test_tpu_pods_run_on_one_slice_and_need_no_coordinator_address():
    made = manifest(*SLICE)
    assert container(made)["resources"] == {"limits": {"google.com/tpu": 4}}
    assert pod(made)["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert "coordinator_address" not in str(made)


def test_gke_mounts_the_bucket():
    made = manifest(*SLICE)
    annotations = job(made)["template"]["metadata"]["annotations"]
    assert annotations == {"gke-gcsfuse/volumes": "true"}
    [bucket] = [volume["csi"] for volume in pod(made)["volumes"] if "csi" in volume]
    assert bucket["driver"] == "gcsfuse.csi.storage.gke.io"
    assert bucket["volumeAttributes"]["bucketName"] == "my-runs"
    # Orbax completes a checkpoint by renaming its folder.
    assert "rename-dir-limit" in bucket["volumeAttributes"]["mountOptions"]


def test_the_trainer_receives_its_arguments_unchanged():
    odd = ["--config=c.py:trm", "--config.a=('it''s', \"x: #y\")", "--config.b=", "--c=- {}[]%"]
    assert container(manifest(*GPUS, arguments=odd))["args"][1:5] == odd
    home = container(manifest(*GPUS, arguments=["--config=c.py", "--config.a=$(HOME)"]))["args"][2]
    assert home == "--config.a=$$(HOME)"  # Kubernetes turns this into $(HOME)


def test_kubectl_receives_the_manifest(tmp_path):
    program = "import json, sys; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    scripts.executable(tmp_path / "kubectl", program)
    options = ["--image=me/cgar:1", "--hosts=4", *GPUS, "--", "--config=c.py"]
    code, output = scripts.run("launch/kubernetes.sh", *options, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert code == 0, output
    arguments, given = json.loads(output)
    assert arguments == ["apply", "--filename=-"]
    assert yaml.safe_load(given) == manifest(*GPUS)
