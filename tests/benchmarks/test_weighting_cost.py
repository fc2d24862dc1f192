"""Tests that the benchmark of weightings times steps with and without their gradients."""

import json

from tests.launch import scripts


def test_a_weighting_that_learns_is_timed_twice(tmp_path):
    path = tmp_path / "result.json"
    options = ("--only=focal_weighting,meta_weighting", "--rounds=1", "--batch_size=64")
    code, output = scripts.run_benchmark("weighting_cost", *options, f"--json={path}")
    assert code == 0, output
    found = json.loads(path.read_text())
    assert set(found) == {"focal_weighting", "meta_weighting", "meta_weighting, with its gradients"}
    assert all(spreads["seconds"]["median"] > 0 for spreads in found.values())
