"""CloudWatch metric math of the simplest kind: a sum of metrics, each times a price."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class NotArithmetic(Exception):
    """The expression is more, or less, than arithmetic on known metrics."""


def evaluate(expression: str, metrics: Mapping[str, float]) -> float:
    """The expression's value; raises `NotArithmetic` saying what is not understood."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        raise NotArithmetic(f"{expression} is no arithmetic.") from None
    try:
        return _value(tree.body, metrics)
    except ZeroDivisionError:
        raise NotArithmetic(f"{expression} divides by zero.") from None


def slopes(expression: str, metrics: Sequence[str]) -> dict[str, float] | str:
    """What one more of each metric adds; a sentence if the expression is no such sum."""
    try:
        nothing = evaluate(expression, dict.fromkeys(metrics, 0.0))
        found = {
            metric: evaluate(expression, {**dict.fromkeys(metrics, 0.0), metric: 1.0})
            for metric in metrics
        }
        together = evaluate(expression, dict.fromkeys(metrics, 1.0))
    except NotArithmetic as error:
        return str(error)
    if nothing or abs(together - sum(found.values())) > 1e-9 * abs(together):
        return f"{expression} is no sum of metrics times prices."
    return found


def _value(node: Any, metrics: Mapping[str, float]) -> float:
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        sides = _value(node.left, metrics), _value(node.right, metrics)
        return OPERATORS[type(node.op)](*sides)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        if node.id in metrics:
            return metrics[node.id]
        raise NotArithmetic(f"It names {node.id}, and no metric has that id.")
    raise NotArithmetic(f"{ast.unparse(node)} is no arithmetic on metrics.")
