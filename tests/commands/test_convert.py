"""Published PyTorch checkpoints become models that give the published answers."""

import dataclasses
import math

import jax
import ml_collections
import numpy as np
import pytest
from safetensors.numpy import save_file

from cgar_jax import model_loading
from cgar_jax.config import default_config, set_published_model
from cgar_jax.models import TRM, Outputs, export_published
from cgar_jax.recursion import Rollouts
from tests import fixtures
from tests import running as commands


def of_a_sudoku():
    """Returns the fixtures of models that read Sudokus and draw nothing at random."""
    found = []
    for path in fixtures.known():
        config = fixtures.config_of(path)
        is_sudoku = config["vocab_size"] == math.isqrt(config["seq_len"]) + 2
        if is_sudoku and config["model"] not in ("eqr", "rsm"):
            found.append(path)
    return found


def described(fixture, steps):
    """Returns the config of a fixture's model."""
    config = default_config()
    config.batch_size = config.evaluation.batch_size = fixture.config["batch_size"]
    config.data.size = math.isqrt(fixture.config["seq_len"])
    config.data.num_clues = 0
    if fixture.name == "se_rrm":
        set_published_model(config, "se_rrm")
    for name in set(config.model) - {"name"}:
        config.model[name] = getattr(fixture.model, name)
    config.recursion.update(dataclasses.asdict(fixture.options))
    config.supervision.criterion = fixture.halting_rule.criterion
    config.curriculum = ml_collections.ConfigDict(
        {"name": "fixed_depth_curriculum", "depth": (fixture.depth.n, fixture.depth.T)}
    )
    config.supervision.max_supervision_steps = steps
    return config


@pytest.fixture(params=of_a_sudoku(), ids=lambda path: path.stem)
def converted(request, tmp_path):
    """A fixture, and the model that its parameters are converted to."""
    fixture = fixtures.Fixture(request.param)
    wrapped = {f"_orig_mod.model.{name}": array for name, array in fixture.parameters.items()}
    save_file(wrapped, tmp_path / "step_1.safetensors")
    model = model_loading.convert(tmp_path / "step_1.safetensors", described(fixture, 2))
    model.export(tmp_path / "model")
    return fixture, model_loading.load(tmp_path / "model")


def first_batch(fixture, step):
    """Returns the rows of the first batch that still run in a step, and their published outputs."""
    rows = fixture.arrays[f"step{step}/carry/steps"] == step + 1
    return rows, published_outputs(fixture, step).logits[rows]


def published_outputs(fixture, step):
    """Returns the published outputs of a step."""
    found = fixture.under(f"step{step}/out")
    halt = found["q_halt_logits"]
    return Outputs(found["logits"], halt, found.get("q_continue_logits", 0 * halt))


def test_a_converted_checkpoint_scores_as_published(converted):
    fixture, model = converted
    examples = fixture.under("step0/batch")
    (found,) = model.experiment.evaluator.predict(model.params, examples)
    for step in range(2):
        rows, logits = first_batch(fixture, step)
        evidence = fixture.halting_rule.evidence(published_outputs(fixture, step))
        right = logits.argmax(-1) == examples["labels"][rows]
        np.testing.assert_allclose(found.cell_accuracy[step, rows], right.mean(-1), rtol=1e-6)
        np.testing.assert_array_equal(found.exact[step, rows], right.all(-1))
        halts = fixture.halting_rule.is_confident(evidence)
        np.testing.assert_array_equal(found.halts[step, rows], halts[rows])
    np.testing.assert_array_equal(found.answers[rows], logits.argmax(-1))


def test_the_logits_of_a_converted_checkpoint_are_the_published_ones(converted):
    fixture, model = converted
    batch = fixture.under("step0/batch")
    rollouts = Rollouts.plain(batch["inputs"], batch["puzzle_identifiers"])
    reasoner = model.reasoner.with_supervision_steps(1)
    states = reasoner.empty_states(len(batch["inputs"]))
    _, found = reasoner.think(
        model.params, states, rollouts, read=lambda outputs, before: outputs[:2]
    )
    tolerance = fixtures.tolerance(fixture, 0)
    published = published_outputs(fixture, 0)
    np.testing.assert_allclose(found[0][0], published.logits, rtol=0, atol=tolerance)
    evidence = fixture.halting_rule.evidence(published)
    np.testing.assert_allclose(found[1][0], evidence, rtol=0, atol=2 * tolerance)


SIZES = [
    "--config=configs/sudoku_mini.py",
    "--config.model.hidden_size=16",
    "--config.model.inner_size_multiple=16",
    "--config.model.num_layers=1",
    "--config.data.size=4",
    "--config.data.num_clues=6",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the mixer for 4x4 Sudokus, saved by torch, with five puzzle identifiers."""
    torch = pytest.importorskip("torch")
    model = TRM(
        vocab_size=6,
        sequence_length=16,
        num_puzzle_identifiers=5,
        hidden_size=16,
        num_layers=1,
        expansion=2.0,
        inner_size_multiple=16,
        puzzle_embedding_tokens=1,
    )
    zeros = np.zeros((1, 16), np.int32), np.zeros(1, np.int32)
    arrays = export_published(jax.jit(model.init)(jax.random.key(0), *zeros), model)
    path = tmp_path_factory.mktemp("published") / "step_65100"
    torch.save({name: torch.tensor(array) for name, array in arrays.items()}, path)
    return path


def run(*arguments, cache):
    return commands.run("convert", *map(str, arguments), cache=cache)


def test_other_commands_take_a_converted_state_dict_of_torch(checkpoint, tmp_path, cache):
    code, output = run(checkpoint, *SIZES, f"--output={tmp_path}", "--stablehlo", cache=cache)
    assert code == 0, output
    card = (tmp_path / "README.md").read_text()
    assert "published PyTorch checkpoint `step_65100`" in card
    assert "license: unknown" in card
    assert model_loading.load(tmp_path).experiment.task.num_puzzle_identifiers == 5
    puzzle, shown = "1.3.3.1.2.4.4.2.", "--show_attempt"
    code, output = commands.run("solve", f"--workdir={tmp_path}", shown, puzzle, cache=cache)
    assert code in (0, 3), output
    assert "1 solved in" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["{file}", "--config.data.size=6", "--config.data.num_clues=18"],
            "down_proj.weight has shape (17, 32), but this model needs (37, 64)",
        ),
        (["{file}", "--config.model.num_layers=2"], "missing ['inner.L_level.layers.1.mlp"),
        (["{file}", "--config.model.puzzle_embedding_tokens=2"], "mlp_t.down_proj.weight has sha"),
        (["{file}.gone"], "there is no parameter file"),
        (["README.md"], "README.md is neither a .safetensors file"),
        ([], "expected one CHECKPOINT, found 0"),
        (["{file}", "--config.data.nme=maze"], "did you mean 'name'"),
        (
            ["{file}", "--config.data.name=arc"],
            "does not record which puzzles its embeddings belong to",
        ),
    ],
)
def test_bad_input_is_one_clear_message_and_a_non_zero_exit(
    arguments, message, checkpoint, tmp_path, cache
):
    given = [argument.format(file=checkpoint) for argument in arguments]
    code, output = run(*SIZES, *given, f"--output={tmp_path / 'new'}", cache=cache)
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "new").exists()
