"""Folders of untrained models for 4x4 Sudokus, which need no training run."""

from cgar_jax import experiment, trained_model
from cgar_jax.training.state import averaged
from configs import sudoku_deduction_mini

TASK = experiment.Task(vocab_size=6, sequence_length=16, num_puzzle_identifiers=1)


def save(folder, config):
    """Saves an untrained model with a config, and returns its folder."""
    built = experiment.build(config, TASK)
    untrained = trained_model.TrainedModel(built, averaged(built.initial_state()))
    trained_model.save(folder, untrained, "")
    return folder


def save_candidate_model(folder):
    """Saves an untrained model that eliminates candidates, and returns its folder."""
    config = sudoku_deduction_mini.get_config()
    config.data.update(size=4, num_clues=6, num_train=8, num_validation=8, num_test=8)
    config.model.update(num_layers=1, hidden_size=4, inner_size_multiple=4)
    config.curriculum.stages, config.curriculum.boundaries = ((0, 1),), ()
    return save(folder, config)
