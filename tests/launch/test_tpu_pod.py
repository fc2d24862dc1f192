"""Tests the TPU script with a stand-in for `gcloud`, for which each host is a folder."""

import concurrent.futures
import json
import os
import re
import signal
import threading
import time

import pytest

from tests.launch import scripts

# Like the real program, it runs a command on all hosts at the same time and exits with the first
# code that is not 0. A new slice is ready at once, and installing does nothing.
GCLOUD = """
import json, os, pathlib, shutil, subprocess, sys
folder = pathlib.Path(os.environ["FAKE_CLOUD"])
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
action, state = sys.argv[4], folder / "state"
command = next((a.split("=", 1)[1] for a in sys.argv if a.startswith("--command=")), "")
if action == "create":
    state.write_text("READY")
elif action == "describe":
    print(state.read_text())
elif action == "ssh" and "pip" not in command:
    hosts = [folder / "host0", folder / "host1"]
    running = [
        subprocess.Popen(["bash", "-c", command], cwd=h, env=os.environ | {"HOME": str(h)})
        for h in hosts
    ]
    sys.exit(next((code for code in [each.wait() for each in running] if code), 0))
"""
WHERE = ("--name=cgar", "--zone=z")
SPOT = ("--accelerator=v6e-16", "--spot")
TRAINING = ("--one_host", "--", "--config=c.py", "--workdir=runs/x", "--config.a=((1, 'b'),)")

# The trainer of a host records its arguments and exits with the next code of the host's list.
TRAINER = """
import json, pathlib, signal, sys, time
codes = pathlib.Path("codes")
code, *rest = codes.read_text().split()
codes.write_text(" ".join(rest))
with open("started", "a") as started:
    started.write(json.dumps(sys.argv[1:]) + "\\n")
if code == "preempted":
    pathlib.Path("../../state").write_text("PREEMPTED")
    sys.exit(1)
if code == "long":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path("saved").touch() or 143))
    pathlib.Path("ready").touch()
    while True:
        time.sleep(0.01)
sys.exit(int(code))
"""


class Cloud:
    def __init__(self, folder, codes):
        self.folder = folder
        (folder / "state").write_text("READY")
        scripts.executable(folder / "bin" / "gcloud", GCLOUD)
        scripts.executable(folder / "bin" / "sleep", "")
        for index, host in enumerate(self.hosts()):
            scripts.executable(host / ".venv/bin/python", TRAINER)
            (host / "codes").write_text(codes[index])

    def hosts(self):
        return [self.folder / f"host{index}" / "cgar_jax" for index in range(2)]

    def run(self, *arguments):
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return scripts.run("launch/tpu_pod.sh", *arguments, PATH=path, FAKE_CLOUD=str(self.folder))

    def calls(self, action):
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [call[4:] for call in map(json.loads, lines) if call[3] == action]

    def starts(self):
        return [
            [json.loads(line) for line in (host / "started").read_text().splitlines()]
            for host in self.hosts()
        ]


def test_the_trainer_runs_on_all_hosts_with_its_arguments_unchanged(tmp_path):
    cloud = Cloud(tmp_path, ["0", "0"])
    code, output = cloud.run("run", *WHERE, *TRAINING)
    assert code == 0, output
    assert cloud.starts() == [[["-u", "-m", "cgar_jax", "train", *TRAINING[2:]]]] * 2


def test_the_trainer_restarts_when_it_can_resume(tmp_path):
    cloud = Cloud(tmp_path, ["143 75 134 0", "143 143 137 0"])
    code, output = cloud.run("run", *WHERE, *TRAINING)
    assert code == 0, output
    assert [len(starts) for starts in cloud.starts()] == [4, 4]


@pytest.mark.parametrize("code", [1, 2, 3, 130, 255])
def test_any_other_exit_code_ends_the_run(tmp_path, code):
    cloud = Cloud(tmp_path, [f"{code} 0", f"{code} 0"])
    assert cloud.run("run", *WHERE, *TRAINING)[0] == code
    assert cloud.calls("create") == []


def test_the_trainer_restarts_no_more_often_than_allowed(tmp_path):
    cloud = Cloud(tmp_path, ["75 75 75 0", "75 75 75 0"])
    assert cloud.run("run", *WHERE, "--max_restarts=2", *TRAINING)[0] == 75
    assert [len(starts) for starts in cloud.starts()] == [3, 3]


def test_a_preempted_slice_is_created_again(tmp_path):
    cloud = Cloud(tmp_path, ["preempted 0", "1 0"])
    code, output = cloud.run("run", *WHERE, *SPOT, *TRAINING)
    assert code == 0, output
    assert cloud.calls("delete") == [["cgar", "--zone=z", "--quiet"]]
    [created] = cloud.calls("create")
    assert created == [
        "cgar",
        "--zone=z",
        "--accelerator-type=v6e-16",
        "--version=v2-alpha-tpuv6e",
        "--spot",
    ]
    assert [len(starts) for starts in cloud.starts()] == [2, 2]


def test_stop_lets_the_trainer_save_and_deletes_the_slice(tmp_path):
    cloud = Cloud(tmp_path, ["long", "long"])
    waiting = threading.Thread(
        target=cloud.run, args=("run", *WHERE, "--max_restarts=0", *TRAINING)
    )
    waiting.start()
    while not all((host / "ready").exists() for host in cloud.hosts()):
        assert waiting.is_alive()
        time.sleep(0.01)
    code, output = cloud.run("stop", *WHERE)
    waiting.join()
    assert code == 0, output
    assert all((host / "saved").exists() for host in cloud.hosts())
    assert cloud.calls("delete") == [["cgar", "--zone=z", "--quiet"]]


def test_a_second_run_waits_for_the_first_and_starts_nothing(tmp_path):
    cloud = Cloud(tmp_path, ["long", "long"])
    options = ("run", *WHERE, "--max_restarts=0", *TRAINING)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = [pool.submit(cloud.run, *options), pool.submit(cloud.run, *options)]
        while not all((host / "ready").exists() for host in cloud.hosts()):
            time.sleep(0.01)
        # Wait until both runs wait for the lock that the trainer holds.
        while len([call for call in cloud.calls("ssh") if "exit_code ||" in call[-1]]) < 2:
            time.sleep(0.01)
        for host in cloud.hosts():
            os.kill(int((host / "pid").read_text()), signal.SIGTERM)
        codes = [each.result()[0] for each in both]
    assert codes == [143, 143]
    assert [len(starts) for starts in cloud.starts()] == [1, 1]


def test_the_dry_run_of_create_installs_on_all_hosts():
    code, output = scripts.run("launch/tpu_pod.sh", "create", *WHERE, *SPOT, "--dry_run")
    assert code == 0, output
    tpu = "gcloud compute tpus tpu-vm"
    lines = output.splitlines()
    assert lines[0] == (
        f"{tpu} create cgar --zone=z --accelerator-type=v6e-16 --version=v2-alpha-tpuv6e --spot"
    )
    assert f"{tpu} scp build/cgar_jax.tar.gz cgar: --zone=z --worker=all" in lines
    assert re.search(
        rf"{tpu} ssh cgar --zone=z --worker=all '--command=.*\.\[train,tpu\]", output, re.S
    )


@pytest.mark.parametrize(
    ("option", "mount"),
    [
        ("--nfs=10.0.0.2:/share", "sudo mount -t nfs 10.0.0.2:/share runs"),
        ("--bucket=my-runs", "--rename-dir-limit=100000 --metadata-cache-ttl-secs=0 my-runs runs"),
    ],
)
def test_all_hosts_mount_the_folder_runs_before_training(option, mount):
    code, output = scripts.run(
        "launch/tpu_pod.sh", "run", *WHERE, option, "--dry_run", *TRAINING[1:]
    )
    assert code == 0, output
    assert "--worker=all" in output
    assert (
        0
        < output.index("mountpoint -q runs")
        < output.index(mount)
        < output.index("cgar_jax train")
    )


def test_hosts_that_cannot_mount_the_folder_runs_do_not_train(tmp_path):
    cloud = Cloud(tmp_path, ["0", "0"])
    scripts.executable(tmp_path / "bin" / "sudo", "import sys; sys.exit('no such share')")
    code, output = cloud.run("run", *WHERE, "--nfs=nowhere:/", *TRAINING[1:])
    assert code == 1, output
    assert "no such share" in output
    assert not any((host / "started").exists() for host in cloud.hosts())
