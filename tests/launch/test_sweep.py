"""Tests sweeps: which runs start, which inputs are errors, and what the table contains."""

import csv
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from tests import running as commands
from tests.launch import scripts

CONFIG = """
from cgar_jax.config import default_config, grid, set_method, set_mini

def get_config(method="pdc"):
    config = default_config()
    set_mini(config)
    config.curriculum.stages = ((1, 1), (1, 2))
    config.curriculum.boundaries = (0.5,)
    set_method(config, method)
    return config

def get_sweep():
    return {sweep}
"""
GRID = "grid({'method': ('trm', 'pdc'), 'seed': range(2)})"

# Writes the files that the trainer writes; `plan.json` says what to do for each seed.
TRAINER = """
import json, os, pathlib, signal, sys, time
from absl import app, flags
from ml_collections import config_flags
config = config_flags.DEFINE_config_file("config")
workdir = flags.DEFINE_string("workdir", None, "")
flags.DEFINE_integer("num_processes", None, "")
def main(_):
    folder = pathlib.Path(workdir.value)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(json.loads(
        config.value.to_json_best_effort()) | {"task": {}}))
    with (folder / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 7}\\n')
    with open("started", "a") as started:
        started.write(f"{config.value.seed} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\\n")
    plan = json.loads(pathlib.Path("plan.json").read_text()).get(str(config.value.seed), 0)
    print("from the trainer")
    if plan == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit((folder / "saved").touch() or 143))
        (folder / "ready").touch()
        while True:
            time.sleep(0.01)
    if plan == 0:
        result = {"exact_accuracy": 0.5, "seed": config.value.seed, "by_step": [1, 2]}
        (folder / "result.json").write_text(json.dumps(result))
    sys.exit(plan)
app.run(main)
"""


def write_config(folder, sweep=GRID):
    path = folder / "swept.py"
    path.write_text(CONFIG.format(sweep=sweep))
    return path


def prepare(folder, plan=None, sweep=GRID):
    """Puts a stand-in for the trainer into a folder, and returns the arguments of a sweep."""
    scripts.stand_in(folder, TRAINER)
    (folder / "plan.json").write_text(json.dumps(plan or {}))
    return ["--", f"--config={write_config(folder, sweep)}"]


def sweep(folder, *arguments):
    return scripts.run("launch/sweep.py", *arguments, cwd=folder)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def started(folder):
    path = folder / "started"
    return path.read_text().splitlines() if path.exists() else []


def test_each_run_is_an_ordinary_training_command(tmp_path):
    config = write_config(tmp_path)
    code, output = sweep(tmp_path, "--dry_run", "--", f"--config={config}", "--config.batch_size=8")
    assert code == 0, output
    lines = output.splitlines()
    assert len(lines) == 4
    start = f"{sys.executable} -u -m cgar_jax train --config={config}"
    assert lines[0].startswith(
        f"{start}:trm --config.batch_size=8 --config.seed=0 --workdir=runs/swept-"
    )
    assert lines[3].startswith(f"{start}:pdc --config.batch_size=8 --config.seed=1 --workdir=")
    assert len({line.split("--workdir=")[1] for line in lines}) == 4
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in sorted((scripts.ROOT / "configs").glob("*.py"))
        if "def get_sweep" in p.read_text()
    ],
    ids=lambda path: path.stem,
)
def test_the_sweep_of_a_config_is_valid_and_its_docstring_has_the_command(path):
    code, output = scripts.run("launch/sweep.py", "--count", "--", f"--config=configs/{path.name}")
    assert code == 0, output
    assert int(output) > 1
    assert "python launch/sweep.py" in path.read_text()


def test_the_table_has_the_differing_settings_and_the_figures(tmp_path):
    arguments = prepare(tmp_path, plan={"1": 3})
    code, output = sweep(tmp_path, *arguments)
    assert code == 3, output
    table = rows(tmp_path / "runs/swept.csv")
    assert list(table[0]) == ["method", "seed", "status", "workdir", "exact_accuracy"]
    about = [(row["method"], row["seed"], row["status"], row["exact_accuracy"]) for row in table]
    assert about == [
        ("trm", "0", "finished", "0.5"),
        ("trm", "1", "failed with exit code 3", ""),
        ("pdc", "0", "finished", "0.5"),
        ("pdc", "1", "failed with exit code 3", ""),
    ]
    assert "from the trainer" in (tmp_path / table[0]["workdir"] / "output.log").read_text()
    assert "from the trainer" not in output


def test_the_same_command_runs_only_unfinished_runs(tmp_path):
    arguments = prepare(tmp_path, plan={"1": 143})
    code, output = sweep(tmp_path, *arguments)
    assert code == 143, output
    statuses = [row["status"] for row in rows(tmp_path / "runs/swept.csv")]
    assert statuses == ["finished", "step 7 of 1200"] * 2
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "started").unlink()
    code, output = sweep(tmp_path, *arguments)
    assert code == 0, output
    assert "2 of 4 runs are already finished" in output
    assert [line.split()[0] for line in started(tmp_path)] == ["1", "1"]
    assert {row["status"] for row in rows(tmp_path / "runs/swept.csv")} == {"finished"}


def test_a_result_of_other_settings_is_ignored(tmp_path):
    arguments = prepare(tmp_path, sweep="[{'seed': 0}]")
    assert sweep(tmp_path, *arguments)[0] == 0
    [row] = rows(tmp_path / "runs/swept.csv")
    saved = tmp_path / row["workdir"] / "config.json"
    saved.write_text(saved.read_text().replace('"batch_size": 32', '"batch_size": 64'))
    assert sweep(tmp_path, *arguments)[0] == 0
    assert len(started(tmp_path)) == 2


def test_a_signal_stops_the_runs_and_starts_no_others(tmp_path):
    arguments = prepare(tmp_path, plan={"0": "wait", "1": "wait"})
    launcher = [sys.executable, scripts.ROOT / "launch/sweep.py", "--parallel=2", *arguments]
    process = subprocess.Popen(
        launcher, cwd=tmp_path, env=scripts.environment(), stdout=subprocess.PIPE, text=True
    )
    while len(list(tmp_path.glob("runs/*/ready"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 143, output
    assert len(list(tmp_path.glob("runs/*/saved"))) == 2
    assert len(started(tmp_path)) == 2
    statuses = [row["status"] for row in rows(tmp_path / "runs/swept.csv")]
    assert statuses == ["step 7 of 1200"] * 2 + ["not started"] * 2


def test_runs_are_distributed_over_the_gpus(tmp_path):
    arguments = prepare(tmp_path)
    assert sweep(tmp_path, "--gpus=4,6", *arguments)[0] == 0
    assert {line.split()[1] for line in started(tmp_path)} == {"4", "6"}


def test_index_replaces_the_launcher_by_the_trainer(tmp_path):
    arguments = prepare(tmp_path, plan={"1": 75})
    code, output = sweep(tmp_path, "--index=3", *arguments)
    assert code == 75, output
    assert "from the trainer" in output
    (tmp_path / "plan.json").write_text("{}")
    assert sweep(tmp_path, "--index=3", *arguments)[0] == 0
    assert [line.split() for line in started(tmp_path)] == [["1"], ["1"]]
    code, output = sweep(tmp_path, "--index=3", *arguments)
    assert (code, len(started(tmp_path))) == (0, 2), output
    assert "finished" in output
    assert sweep(tmp_path, "--table", *arguments)[0] == 0
    statuses = [row["status"] for row in rows(tmp_path / "runs/swept.csv")]
    assert statuses == ["not started"] * 3 + ["finished"]


@pytest.mark.parametrize(
    ("listed", "extra", "message"),
    [
        ("[]", [], "returned an empty list"),
        ("{'seed': 1}", [], "must return a list of dicts"),
        ("[{'seed': 1}, {'seed': 1}]", [], "runs 0 and 1 of the sweep are the same"),
        # A setting at its default value is no difference.
        ("[{}, {'method': 'pdc', 'seed': 0}]", [], "runs 0 and 1 of the sweep are the same"),
        ("[{'optimizer.learning_rat': 1}]", [], "did you mean 'learning_rate'"),
        ("[{'seed': 1}, {'batch_size': 'many'}]", [], "run 1 of the sweep, {'batch_size': 'many'}"),
        ("[{'method': 'cgra'}]", [], "unknown method 'cgra'"),
        ("grid({'method': 'trm'})", [], "method is 'trm', but a grid needs a list"),
        ("grid({'seed': []})", [], "seed has no values to try"),
        (GRID, ["--config.seed=1"], "seed is set on the command line and by the sweep"),
        (GRID, ["--num_processes=2"], "num_processes"),
        (GRID, ["--workdir"], "write --workdir=VALUE"),
    ],
)
def test_a_bad_sweep_is_one_clear_message_before_anything_starts(tmp_path, listed, extra, message):
    code, output = sweep(tmp_path, *prepare(tmp_path, sweep=listed), *extra)
    assert code == 2, output
    [line] = output.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert started(tmp_path) == []


def test_a_config_without_a_sweep_is_an_error(tmp_path):
    code, output = sweep(tmp_path, "--", f"--config={scripts.ROOT}/configs/maze_hard.py")
    assert code == 2
    assert "has no function get_sweep" in output


def test_two_real_runs_side_by_side(tmp_path):
    tiny = [each for each in commands.TINY[1:] if "curriculum" not in each]
    config = write_config(tmp_path, "grid({'seed': range(2)})")
    arguments = ["--", f"--config={config}:trm", *tiny]
    code, output = scripts.run(
        "launch/sweep.py",
        *arguments,
        f"--workdir={tmp_path}",
        CGAR_DATA_DIR=str(tmp_path / "cache"),
        XLA_FLAGS=commands.HASTY,
    )
    assert code == 0, output
    first, second = rows(tmp_path / "swept.csv")
    assert (first["seed"], second["seed"]) == ("0", "1")
    assert first["parameters_sha256"] != second["parameters_sha256"]
    for row in (first, second):
        assert (row["status"], row["steps"], row["num_examples"]) == ("finished", "40", "20")
        assert 0 <= float(row["exact_accuracy"]) <= 1
    assert "seed=0: finished" in output
    # The folders have the names that the trainer chooses for these settings.
    _, listed = scripts.run("launch/sweep.py", "--dry_run", *arguments)
    folders = [pathlib.Path(row["workdir"]).name for row in (first, second)]
    assert re.findall(r"--workdir=runs/(\S+)", listed) == folders
