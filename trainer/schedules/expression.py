"""Arithmetic out of a configuration, read as a syntax tree and never run as code."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

Variables = Mapping[str, float]
Node = Callable[[Variables], float]

CONSTANTS = {"pi": math.pi, "e": math.e}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "max": max,
    "min": min,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
}
BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,  # not **: it raises where that gives a complex number
}
COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
LONGEST = 1000


def compile_expression(text: str, variables: list[str]) -> Node:
    """Turns an expression into a function of its variables.

    Allowed are numbers, the variables, pi and e, + - * / // % **, comparisons, `a if c else b`,
    and abs ceil cos exp floor log max min sin sqrt tan tanh. Numbers are floats throughout.

    Args:
        text: The expression.
        variables: Names that it may use.

    Raises:
        ValueError: If it is anything else; names the part.
    """
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _node(tree.body, variables)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"is not an expression: {error}") from error


def _node(node: ast.expr, names: list[str]) -> Node:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _constant(node)
    if isinstance(node, ast.Name):
        return _name(node.id, names)
    if isinstance(node, ast.BinOp) and (binary := BINARY.get(type(node.op))):
        left, right = _node(node.left, names), _node(node.right, names)
        return lambda v: binary(left(v), right(v))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner, sign = _node(node.operand, names), -1.0 if isinstance(node.op, ast.USub) else 1.0
        return lambda v: sign * inner(v)
    if isinstance(node, ast.IfExp):
        test, yes, no = (_node(n, names) for n in (node.test, node.body, node.orelse))
        return lambda v: yes(v) if test(v) else no(v)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        compare = COMPARISONS.get(type(node.ops[0]))
        if compare is not None:
            left, right = _node(node.left, names), _node(node.comparators[0], names)
            return lambda v: float(compare(left(v), right(v)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, [_node(argument, names) for argument in node.args])
    raise ValueError(f"{ast.unparse(node)!r} is not allowed")


def _constant(node: ast.Constant) -> Node:
    value = float(str(node.value))
    return lambda v: value


def _name(name: str, names: list[str]) -> Node:
    if name in CONSTANTS:
        constant = CONSTANTS[name]
        return lambda v: constant
    if name not in names:
        raise ValueError(f"{name!r} is unknown; there are {', '.join([*names, *CONSTANTS])}")
    return lambda v: v[name]


def _call(name: str, arguments: list[Node]) -> Node:
    if name not in FUNCTIONS:
        raise ValueError(f"{name!r} is no function; there are {', '.join(FUNCTIONS)}")
    many = name in ("min", "max")
    if len(arguments) < 2 if many else len(arguments) != 1:
        raise ValueError(f"{name} takes {'two or more values' if many else 'one value'}")
    function = FUNCTIONS[name]
    return lambda v: float(function(*(argument(v) for argument in arguments)))
