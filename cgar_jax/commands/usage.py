"""The interface of a command, and the text of its `--help`."""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

_WIDTH, _INDENT = 96, 30


@dataclasses.dataclass(frozen=True)
class Interface:
    """The interface of a command; `cgar_jax.commands` describes its parts.

    Attributes:
      name: name of the command, such as "cgar train".
      main: does the work, given the parsed flags and the other arguments.
      define_flags: defines the command's flags.
      description: description of the command.
      arguments: name of the arguments that are not flags; empty if there are none.
      required: names of the flags that must be given.
      groups: names of flags by the heading that `--help` prints above them.
      examples: command lines to show.
    """

    name: str
    main: Callable[[flags.FlagValues, Sequence[str]], int | None]
    define_flags: Callable[[], None]
    description: str = ""
    arguments: str = ""
    required: Sequence[str] = ()
    groups: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    examples: Sequence[str] = ()

    @classmethod
    def of(cls, name: str, module: Any) -> "Interface":
        """Returns the interface that a module of `cgar_jax.commands` implements."""
        return cls(
            name,
            module.main,
            module.define_flags,
            description=inspect.getdoc(module) or "",
            arguments=getattr(module, "ARGUMENTS", ""),
            required=getattr(module, "REQUIRED", ()),
            groups=getattr(module, "GROUPS", {}),
            examples=getattr(module, "EXAMPLES", ()),
        )

    @property
    def takes_config(self) -> bool:
        """Whether the argument of the command is the name or path of a config."""
        return self.arguments == "CONFIG"


def help_text(interface: Interface, defined: Mapping[str, flags.Flag], configs: Sequence[str]):
    """Returns the text of `--help`.

    Args:
      interface: the command.
      defined: its flags by name.
      configs: names of the configs that come with the package.
    """
    needed = [f"--{_with_value(defined[name])}" for name in interface.required if name != "config"]
    usage = " ".join(filter(None, [interface.name, interface.arguments, *needed, "[OPTIONS]"]))
    blocks = [f"usage: {usage}", interface.description]
    if interface.takes_config:
        blocks.append(_about_configs(interface, configs))
    grouped = {name for names in interface.groups.values() for name in names}
    hidden = {"config"} if interface.takes_config else set()
    others = [name for name in defined if name not in grouped | hidden]
    for heading, names in ({"Options": others} | dict(interface.groups)).items():
        if names:
            lines = [_option(defined[name]) for name in names]
            blocks.append("\n".join([f"{heading}:", *lines]))
    if interface.examples:
        blocks.append("\n".join(["Examples:", *(f"  {each}" for each in interface.examples)]))
    return "\n\n".join(blocks) + "\n"


def _about_configs(interface: Interface, configs: Sequence[str]) -> str:
    text = (
        "CONFIG is the path of a config file, or the name of one that comes with the package: "
        f"{', '.join(configs)}. A suffix chooses the method: {configs[-1]}:trm."
    )
    lines = textwrap.wrap(text, _WIDTH) if configs else []
    setting = "--config.KEY=VALUE"
    lines.append(f"  {setting:<{_INDENT - 2}}override a setting of the config; may be repeated")
    return "\n".join(lines)


def _option(flag: flags.Flag) -> str:
    left = f"  --{'[no]' if flag.boolean else ''}{_with_value(flag)}"
    help_ = " ".join((flag.help or "").split())
    help_ = re.sub(r"^<[^>]*>: |;? *repeat this option to specify a list of values$", "", help_)
    if flag.default not in (None, "", []) and not flag.boolean:
        shown = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
        help_ += f" (default: {shown})"
    lines = textwrap.wrap(help_, _WIDTH - _INDENT)
    if len(left) > _INDENT - 2:
        lines.insert(0, "")
    lines = [line and " " * _INDENT + line for line in lines] or [""]
    lines[0] = left.ljust(_INDENT) + lines[0].lstrip() if lines[0] else left
    return "\n".join(lines)


def _with_value(flag: flags.Flag) -> str:
    if flag.boolean:
        return flag.name
    if isinstance(flag, flags.EnumFlag):
        return f"{flag.name}={'|'.join(flag.parser.enum_values)}"
    kind = getattr(flag.parser, "placeholder", None) or {
        "int": "N",
        "float": "X",
        "comma separated list of strings": "A,B,...",
    }.get(flag.flag_type(), "TEXT")
    return f"{flag.name}={kind}"
