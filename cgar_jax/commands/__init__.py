"""The subcommands of `cgar`, one module each.

A module `cgar_jax/commands/NAME.py` (hyphens become underscores) has this interface:

- its docstring describes the command: `cgar NAME --help` prints it;
- `define_flags()` defines the command's absl flags, so that importing the module defines none;
- `main(values, arguments)` does the work and returns the exit code (`None` means 0). `values` are
  the parsed flags, `arguments` the other words of the command line;
- `ARGUMENTS` names these words: "CONFIG" for one config (which becomes the flag `config`),
  something else such as "PUZZLE..." for words that `main` interprets; a command without
  `ARGUMENTS` takes no words;
- `REQUIRED` lists the flags that must be given;
- `GROUPS` maps headings to flags: `--help` prints them under these headings;
- `EXAMPLES` lists command lines that `--help` shows.

`cli` dispatches to these modules and lists them, `command_line` parses, `usage` formats help, and
`runner` turns errors into exit codes.
"""
