"""`cgar train` in real processes: its files, its progress lines and its error messages."""

import json
import shutil

import jax
import pytest

import cgar_jax
from tests import running as commands

TRAIN = "train"


def digest(workdir):
    return commands.result(workdir)["parameters_sha256"]


def test_a_run_writes_all_its_files(finished_run):
    workdir, _ = finished_run
    assert {f.name for f in workdir.iterdir()} == {
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "result.json",
        "tensorboard",
    }


def test_the_result_has_every_figure(finished_run):
    figures = commands.result(finished_run[0])
    assert figures["num_examples"] == 20
    assert figures["steps"] == 40
    assert len(figures["exact_accuracy_by_step"]) == 2
    assert len(figures["parameters_sha256"]) == 64
    for name in ("exact_accuracy", "cell_accuracy", "halting_accuracy"):
        assert 0 <= figures[name] <= 1, name
    for name in ("train_seconds", "compile_seconds", "model_flops", "mean_halting_step"):
        assert figures[name] > 0, name
    assert figures["seed"] == 0


def test_the_result_names_the_program_and_the_date(finished_run):
    result = commands.result(finished_run[0])
    assert result["version"] == cgar_jax.__version__
    assert result["jax_version"] == jax.__version__
    assert result["finished"].endswith("+00:00")
    assert "commit" in result  # null without a checkout


def test_the_last_step_is_validated(finished_run):
    validated = [
        entry["step"]
        for entry in commands.metrics(finished_run[0])
        if "validation/exact_accuracy" in entry
    ]
    assert validated == [20, 40]


def test_the_progress_line_shows_stage_depth_loss_and_accuracy(finished_run):
    _, output = finished_run
    assert "step 40/40 · stage 2/2 depth (2, 2) · loss" in output
    assert "exact" in output


def test_metrics_have_one_record_per_span_of_steps_in_order(finished_run):
    steps = [entry["step"] for entry in commands.metrics(finished_run[0]) if "loss" in entry]
    assert steps == sorted(set(steps))
    assert steps[-1] == 40


PLATEAUS = """
from configs import sudoku_mini


def get_config():
    config = sudoku_mini.get_config()
    config.curriculum = type(config)(
        dict(name="plateau_depth_curriculum", stages=((1, 1), (2, 2)), window=0.01, patience=1)
    )
    return config
"""


def test_a_depth_that_grows_at_plateaus_is_shown_and_its_flops_are_counted(
    finished_run, tmp_path, cache
):
    config = tmp_path / "plateaus.py"
    config.write_text(PLATEAUS)
    tiny = [flag for flag in commands.TINY[1:] if ".curriculum." not in flag]
    workdir = f"--workdir={tmp_path}/run"
    code, output = commands.run(TRAIN, f"--config={config}", *tiny, workdir, cache=cache)
    assert code == 0, output
    assert "step 40/40 · stage 2/2 depth (2, 2) · loss" in output
    flops = {
        entry["depth"]: entry["model_flops"]
        for entry in commands.metrics(finished_run[0])
        if "loss" in entry
    }
    spent, last = 0, 0
    for entry in commands.metrics(tmp_path / "run"):
        if "loss" in entry:
            share = entry["depth_index"]
            each = (1 - share) * flops["(1, 1)"] + share * flops["(2, 2)"]
            spent, last = spent + (entry["step"] - last) * each, entry["step"]
            assert entry["train_flops"] == pytest.approx(spent, rel=1e-5)
    assert commands.result(tmp_path / "run")["model_flops"] == pytest.approx(spent, rel=1e-5)


def test_another_seed_gives_other_parameters(finished_run, tmp_path, cache):
    code, output = commands.run(
        TRAIN, *commands.TINY, "--config.seed=1", f"--workdir={tmp_path}", cache=cache
    )
    assert code == 0, output
    assert digest(tmp_path) != digest(finished_run[0])


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint(
    tmp_path, cache
):
    code, output = commands.run(
        TRAIN,
        *commands.TINY,
        # The loss is finite for some steps, then its square exceeds float32.
        "--config.optimizer.learning_rate=1e37",
        "--config.checkpoint.every_steps=1",
        f"--workdir={tmp_path}",
        cache=cache,
    )
    assert code == 3, output
    assert "is not finite at step" in output
    assert f"checkpoints/{commands.newest_step(tmp_path)}" in output


def test_a_workdir_of_another_model_is_refused_and_not_changed(finished_run, cache):
    workdir, _ = finished_run
    before = sorted(workdir.rglob("*"))
    code, output = commands.run(
        TRAIN, *commands.TINY, "--config.model.hidden_size=32", f"--workdir={workdir}", cache=cache
    )
    assert code == 2
    assert "model.hidden_size: 16 in the checkpoint, 32 now" in output
    assert sorted(workdir.rglob("*")) == before


def test_a_run_on_other_generated_puzzles_is_refused_until_it_is_allowed(
    finished_run, tmp_path, cache
):
    workdir = shutil.copytree(finished_run[0], tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "40")
    other = (*commands.TINY, "--config.data.num_clues=8", f"--workdir={workdir}")
    code, output = commands.run(TRAIN, *other, cache=cache)
    assert code == 2, output
    assert "data.num_clues: 6 in the checkpoint, 8 now" in output
    assert "the training examples differ in their" in output
    code, output = commands.run(TRAIN, *other, "--allow_changed_data", cache=cache)
    assert code == 0, output
    assert "resuming at step 30" in output


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.optimizer.learning_rat=1", "did you mean 'learning_rate'"),
        ("--config.batch_size=many", "batch_size"),
        ("--config.curriculum.name=progresive_depth_curriculum", "did you mean"),
        ("--config.optimizer.name=adamm", "did you mean 'adamw'"),
        ("--config.mesh.data=2", "there are 1 devices"),
        ("--config.data.source=/nowhere", "there is no file /nowhere/train.csv"),
        (
            "--config.loss.answer=stablemax_cross_entropy_los",
            "did you mean 'stablemax_cross_entropy_loss'",
        ),
        ("--config.training.steps=0", "training.steps is 0"),
        ("--config.batch_size=0", "batch_size is 0, but it must be a positive integer"),
        ("--config.optimizer.b1=1.5", "b1 is 1.5, but it must be in [0, 1)"),
        ("--config.model.dtype=bf16", "unknown dtype of TRM 'bf16'; did you mean 'bfloat16'?"),
        ("--workdir=/proc/run", "cannot write to workdir /proc/run"),
        ("--config=configs/nope.py", "configs/nope.py"),
        ("--config=configs/sudoku_mini.py:cgra", "unknown method 'cgra'"),
    ],
)
def test_bad_input_gives_one_clear_message_and_a_non_zero_exit(argument, message, tmp_path, cache):
    code, output = commands.run(
        TRAIN, *commands.TINY, f"--workdir={tmp_path}", argument, cache=cache
    )
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output


def test_evaluate_scores_a_finished_run_on_a_csv(finished_run, tmp_path, cache):
    csv = tmp_path / "puzzles.csv"
    csv.write_text("source,question,answer,rating\nhand,1.3.3.1.2.4.4.2.,1234341221434321,0\n")
    scores = tmp_path / "scores.json"
    code, output = commands.run(
        "evaluate",
        f"--workdir={finished_run[0]}",
        f"--data={csv}",
        f"--output={scores}",
        cache=cache,
    )
    assert code == 0, output
    assert json.loads(scores.read_text())["num_examples"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,question,answer,rating\na,1...,1234,0\n", "puzzles.csv"),
        ("a,b\n", "puzzles.csv"),
        ("source,question,answer,rating\nhand," + "." * 36 + "," + "1" * 36 + ",0\n", "line 2"),
    ],
)
def test_evaluate_names_the_error_in_a_csv(finished_run, tmp_path, cache, text, message):
    csv = tmp_path / "puzzles.csv"
    csv.write_text(text)
    code, output = commands.run(
        "evaluate", f"--workdir={finished_run[0]}", f"--data={csv}", cache=cache
    )
    assert code == 2, output
    assert message in output


def test_evaluate_without_a_run_is_an_error(tmp_path, cache):
    code, output = commands.run("evaluate", f"--workdir={tmp_path}", "--data=none.csv", cache=cache)
    assert code == 2
    assert "no run in" in output
