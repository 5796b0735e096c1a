"""Arithmetic over named sizes: ``2 * heads * head_dim``. Names, numbers, + - * // and parentheses, nothing else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simulator.profiles.errors import nearest, shown

LONGEST = 200
ALLOWED = "numbers, names, + - * // and parentheses"

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


class ExpressionError(ValueError):
    """A bad expression: ``str`` says what is wrong, ``allowed`` what would be accepted."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


def evaluate(text: str | float, names: Mapping[str, Any]) -> Any:
    """Value of ``text`` with ``names`` (numbers, or arrays with one entry per scenario). ExpressionError if it has none."""
    if not isinstance(text, str):
        return text
    if len(text) > LONGEST:
        raise ExpressionError(f"expression of {len(text)} characters", f"at most {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{shown(text)} is no expression", ALLOWED) from None
    return _value(tree, text, names)


def _value(node: ast.expr, text: str, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name | ast.Attribute):
        return _named(ast.unparse(node), names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, text, names)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, text, names), _value(node.right, text, names)
        if isinstance(node.op, ast.FloorDiv) and np.any(np.asarray(right) == 0):
            raise ExpressionError(f"{shown(text)} divides by zero", "a divisor other than 0")
        return _OPERATORS[type(node.op)](left, right)
    raise ExpressionError(f"{shown(text)} holds {shown(ast.unparse(node))}", ALLOWED)


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        close = nearest(name, names)
        raise ExpressionError(f"unknown name {name!r}" + (f", {close}" if close else ""), ", ".join(names))
    return names[name]
