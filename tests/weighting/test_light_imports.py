import subprocess
import sys

HEAVY = {"flax", "orbax", "tensorflow_datasets", "cgar_jax.models", "cgar_jax.training"}


def test_losses_weighting_and_curricula_import_nothing_heavy():
    program = (
        "import sys, cgar_jax.losses, cgar_jax.weighting, cgar_jax.curricula;print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "cgar_jax.weighting" in loaded
    assert not HEAVY.intersection(loaded)
