"""Lists the collective operations of a compiled program by parsing its text.

A program that sums its gradients once per step and one that sums them in every network call compute
the same numbers. The list shows which of the two was compiled, and how many bytes devices exchange.
"""

import collections
import math
import re
from typing import NamedTuple


class Collective(NamedTuple):
    """A collective operation, as it appears once in the text of a program."""

    kind: str  # "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"
    arrays: tuple[str, ...]  # the result on each device, such as "f32[16,96]"
    bytes: int  # size of the whole arrays that are summed, gathered or sent, seen by one device
    float_bytes: int  # the part of `bytes` in floating-point arrays
    group_size: int  # number of devices that take part together; 0 if unknown
    loops: int  # number of loops around it; the outermost one of `TrainStep.run` is over steps
    name: str  # name of the operation in the traced program


_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast"
_COLLECTIVE = re.compile(rf"^\s*(?:ROOT )?%?[\w.-]+ = (.*?) ({_KINDS})(-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+\d+\w*|pred)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) .*\{$")
_CALLED = re.compile(r"(\w+)=(?:\{([^}]*)\}|%?([\w.-]+))")
_CALLS = (
    "body",
    "branch_computations",
    "called_computations",
    "calls",
    "condition",
    "false_computation",
    "to_apply",
    "true_computation",
)
_OPERATION_NAME = re.compile(r'op_name="([^"]*)"')
# A group of devices is written as {{0,1},{2,3}}; or as sizes, [2,4]<=[8] for two groups of four; or
# as axes of a mesh, mesh['data'=2,'fsdp'=4] {'fsdp'}.
_LISTED_GROUPS = re.compile(r"(?:replica_groups|source_target_pairs)=\{+([\d,]*)\}")
_COUNTED_GROUPS = re.compile(r"replica_groups=\[(?:\d+,)*(\d+)\]")
_GROUPS_BY_AXIS = re.compile(r"replica_groups=\w*mesh\[([^\]]*)\][^{]*\{([^}]*)\}")


def collectives(text: str) -> list[Collective]:
    """Lists the collective operations of a program, in the order of its text.

    Args:
      text: `compiled.as_text()`, from any backend. An operation with separate start and end counts
        once. A TPU compiler may split one operation over the computations that run beside it; it is
        then listed with each of them.
    """
    found = []
    around = loops_around(text)
    for computation, line in _lines(text):
        if match := _COLLECTIVE.match(line):
            result, kind, start = match.groups()
            found.append(_collective(line, result, kind, bool(start), around.get(computation, 0)))
    return found


def loops_around(text: str) -> dict[str, int]:
    """Returns the number of loops around each computation of a program, by its name."""
    calls: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for computation, line in _lines(text):
        for attribute, several, one in _CALLED.findall(line):
            if attribute in _CALLS:
                deeper = attribute in ("body", "condition")
                names = re.findall(r"[\w.-]+", several) or [one]
                calls[computation] += [(name, int(deeper)) for name in names]
    entry = re.search(r"^ENTRY %?([\w.-]+)", text, re.MULTILINE)
    depths: dict[str, int] = {}
    reached = [(entry[1], 0)] if entry else []
    while reached:
        name, depth = reached.pop()
        if depths.get(name, -1) < depth:
            depths[name] = depth
            reached += [(callee, depth + deeper) for callee, deeper in calls[name]]
    return depths


def _lines(text):
    computation = ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            computation = match[1]
        elif computation:
            yield computation, line


def _collective(line: str, result: str, kind: str, start: bool, loops: int) -> Collective:
    arrays = [
        (dtype, tuple(map(int, shape.split(","))) if shape else ())
        for dtype, shape in _ARRAY.findall(result)
    ]
    # The start of an operation lists its operands first, and sometimes counters last.
    if start and kind == "collective-permute":
        arrays = arrays[1:2]
    elif start and kind == "all-gather":
        arrays = arrays[len(arrays) // 2 :]
    size = _group_size(line)
    copies = max(size, 1) if kind == "reduce-scatter" else 1
    sizes = [copies * _itemsize(dtype) * math.prod(shape) for dtype, shape in arrays]
    floats = [n for n, (dtype, _) in zip(sizes, arrays, strict=True) if dtype[0] in "fb"]
    shown = tuple(f"{dtype}[{','.join(map(str, shape))}]" for dtype, shape in arrays)
    name = _OPERATION_NAME.search(line)
    return Collective(kind, shown, sum(sizes), sum(floats), size, loops, name[1] if name else "")


def _itemsize(dtype: str) -> int:
    """Returns the bytes of one number, from types such as "bf16", "f8e4m3" and "pred"."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits[0]) // 8, 1) if bits else 1


def _group_size(line: str) -> int:
    """Returns the number of devices that take part in the operation of a line; 0 if unknown."""
    if match := _LISTED_GROUPS.search(line):
        return len(match[1].split(","))
    if match := _COUNTED_GROUPS.search(line):
        return int(match[1])
    if match := _GROUPS_BY_AXIS.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
        # A part of an axis is written with its size: 'data':(1)2.
        axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", match[2])
        return math.prod(int(part or sizes[axis]) for axis, part in axes)
    return 0
