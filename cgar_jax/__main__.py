"""Runs the command line: `python -m cgar_jax NAME` is `cgar NAME`."""

from cgar_jax.commands.cli import main

if __name__ == "__main__":
    main()
