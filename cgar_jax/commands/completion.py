"""Prints the completion script of a shell: bash, zsh or fish.

The script completes subcommands, their options, the names of configs, and files. Write it once to
the file in which the shell looks for it:

    bash    cgar completion bash > ~/.local/share/bash-completion/completions/cgar
    zsh     cgar completion zsh > ~/.zfunc/_cgar     (with ~/.zfunc in $fpath)
    fish    cgar completion fish > ~/.config/fish/completions/cgar.fish
"""

import contextlib
import importlib
from collections.abc import Iterator, Sequence

from absl import flags

from cgar_jax._core import extras
from cgar_jax.commands import cli, command_line, usage

ARGUMENTS = "SHELL"
EXAMPLES = ("cgar completion bash",)


def define_flags() -> None:
    """Defines this command's flags: there are none."""


def main(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Runs the command."""
    del values
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        raise ValueError(f"expected one SHELL of {', '.join(SCRIPTS)}, found {list(arguments)}")
    options = {name: _options(name) for name in cli.COMMANDS}
    print(SCRIPTS[arguments[0]](options, command_line.config_names()), end="")


def bash(options: dict[str, list[str]], configs: list[str]) -> str:
    """Returns the script for bash.

    Args:
      options: the options of each subcommand.
      configs: names of the configs that come with the package.
    """
    cases = "\n".join(
        f"        {name}) words='{' '.join([*each, *_words(name, configs)])}' ;;"
        for name, each in options.items()
    )
    return f"""\
_cgar() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words
    if ((COMP_CWORD == 1)); then
        words='{" ".join([*options, "--help", "--version"])}'
    else
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace
    ((${{#COMPREPLY[@]}})) || compopt -o default
}}
complete -F _cgar cgar
"""


def zsh(options: dict[str, list[str]], configs: list[str]) -> str:
    """Returns the script for zsh; for the arguments see `bash`."""
    cases = "\n".join(
        f"        {name}) found=({' '.join([*each, *_words(name, configs)])}) ;;"
        for name, each in options.items()
    )
    return f"""\
#compdef cgar
_cgar() {{
    local -a found with_value others
    if ((CURRENT == 2)); then
        found=({" ".join([*options, "--help", "--version"])})
    else
        case $words[2] in
{cases}
        esac
    fi
    with_value=(${{(M)found:#*=}})
    others=(${{found:#*=}})
    compadd -S '' -a with_value
    compadd -a others
    _files
}}
_cgar "$@"
"""


def fish(options: dict[str, list[str]], configs: list[str]) -> str:
    """Returns the script for fish; for the arguments see `bash`."""
    summaries = {name: text for each in cli.LISTED.values() for name, text in each.items()}
    lines = [
        f'complete -c cgar -n __fish_use_subcommand -f -a {name} -d "{text}"'
        for name, text in summaries.items()
    ]
    for name, each in options.items():
        condition = f'-n "__fish_seen_subcommand_from {name}"'
        for option in each:
            takes = " -r" if option.endswith("=") else ""
            lines.append(f"complete -c cgar {condition} -l {option.strip('-=')}{takes}")
        if words := _words(name, configs):
            lines.append(f'complete -c cgar {condition} -a "{" ".join(words)}"')
    return "\n".join(lines) + "\n"


SCRIPTS = {each.__name__: each for each in (bash, zsh, fish)}


def _options(name: str) -> list[str]:
    """Returns the options of a subcommand; those with a value end in `=`."""
    with extras.explain_missing():
        interface = usage.Interface.of(name, importlib.import_module(cli.COMMANDS[name]))
    with _defined(interface) as defined:
        found = [f"--{each.name}{'' if each.boolean else '='}" for each in defined.values()]
    return [*found, "--help"]


@contextlib.contextmanager
def _defined(interface: usage.Interface) -> Iterator[dict[str, flags.Flag]]:
    """Yields the flags of a command, defined only inside because commands share flag names."""
    values = flags.FLAGS
    before = set(values)
    interface.define_flags()
    defined = {name: values[name] for name in values if name not in before}
    yield defined
    for name in defined:
        delattr(values, name)


def _words(name: str, configs: list[str]) -> list[str]:
    """Returns the words that may follow a subcommand in addition to its options and files."""
    if name == "completion":
        return list(SCRIPTS)
    return configs if name in ("train", "estimate", "check-data") else []
