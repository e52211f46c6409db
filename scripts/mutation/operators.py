"""Small changes to Python code, each of which some test should notice.

A mutant is one change to one node of a module's syntax tree: a comparison's boundary, an
operator, a number, a condition, a statement left out. What cannot change what a module does is
left alone: annotations, decorators, docstrings, imports, and the texts of errors.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any, NamedTuple

MODULE = "<module>"  # the function of code outside of functions

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_PAIRS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
)
CALLS = dict(_PAIRS) | {second: first for first, second in _PAIRS}
REMOVED = (ast.Raise, ast.Continue, ast.Break, ast.AugAssign, ast.Delete)
# A guard that no input of a correct caller meets, and how memory is used.
IDLE_KEYWORDS = ("strict", "copy")
SKIPPED_FIELDS = ("annotation", "returns", "decorator_list")

Variants = Iterator[tuple[str, ast.AST]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to a module.

    Attributes:
        file: path of the module in the project, with slashes.
        index: its place among the mutants of the module.
        function: qualified name of the function it is in, or `MODULE`.
        line: where the changed statement begins.
        operator: the kind of change.
        before: the statement, or the head of a compound one, on one line.
        after: the same, changed.
        statement: a name that lasts while function and statement do, wherever they stand in their
            file; of equal statements in one function each has its own.
        key: a name of the mutant that lasts as long.
    """

    file: str
    index: int
    function: str
    line: int
    operator: str
    before: str
    after: str
    statement: str
    key: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A node that may change, and where it hangs: in a field of its parent."""

    parent: ast.AST
    field: str
    place: int | None
    node: ast.AST
    statement: ast.stmt
    function: str

    def put(self, node: ast.AST) -> None:
        """Hang another node there."""
        if self.place is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.place] = node


def hash_texts(*texts: object) -> str:
    """A name of 12 characters, the same on every machine."""
    return hashlib.sha256("\n".join(map(str, texts)).encode()).hexdigest()[:12]


class Head(NamedTuple):
    """A statement without the statements inside it.

    Attributes:
        text: on one line; quotes and parentheses are those of this Python's release.
        dump: its syntax tree, the same in every release.
    """

    text: str
    dump: str

    @classmethod
    def of(cls, statement: ast.AST) -> Head:
        """Of a statement."""
        head = copy.copy(statement)
        for field in ("body", "orelse", "handlers", "finalbody", "decorator_list"):
            if hasattr(head, field):
                setattr(head, field, [ast.Pass()] if field == "body" else [])
        text = ast.unparse(head)
        text = text.removesuffix("pass") if hasattr(head, "body") else text
        return cls(" ".join(text.split()), _dump(head))


def list_mutants(source: str, file: str) -> list[Mutant]:
    """All mutants of a module, in the order of its code."""
    mutants: list[Mutant] = []
    statements: dict[ast.stmt, str] = {}
    equals: Counter[tuple[str, ...]] = Counter()

    def name(*parts: str) -> str:
        equals[parts] += 1
        return hash_texts(*parts, equals[parts])

    for slot, operator, before, after in _changes(ast.parse(source)):
        if slot.statement not in statements:
            statements[slot.statement] = name(file, slot.function, before.dump)
        statement = statements[slot.statement]
        key = name(statement, after.dump)
        texts = before.text, after.text
        line = slot.statement.lineno
        mutants.append(
            Mutant(file, len(mutants), slot.function, line, operator, *texts, statement, key)
        )
    return mutants


def compile_mutant(source: str, index: int, path: str) -> CodeType:
    """The code of a module's mutant, as if it stood in a file."""
    tree = ast.parse(source)
    for place, _ in enumerate(_changes(tree)):
        if place == index:  # the tree is changed just now
            return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
    raise IndexError(f"{path} has no mutant {index}")


def _changes(tree: ast.Module) -> Iterator[tuple[Slot, str, Head, Head]]:
    """Slot, operator, statement before and after of each mutant; the tree is the mutant."""
    heads: dict[ast.stmt, Head] = {}
    for slot in list(_walk(tree, None, MODULE)):
        if slot.statement not in heads:
            heads[slot.statement] = Head.of(slot.statement)
        before = heads[slot.statement]
        for operator, node in list(_variants(slot)):
            slot.put(ast.copy_location(node, slot.node))
            after = Head.of(node if isinstance(node, ast.stmt) else slot.statement)
            if after.dump != before.dump:
                yield slot, operator, before, after
            slot.put(slot.node)


def _dump(value: object) -> str:
    """A syntax tree as a text that is the same in every release of Python, unlike `ast.dump`'s."""
    if isinstance(value, list):
        return f"[{', '.join(map(_dump, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = (
        f"{name}={_dump(one)}" for name, one in ast.iter_fields(value) if one not in (None, [])
    )
    return f"{type(value).__name__}({', '.join(fields)})"


def _walk(node: ast.AST, statement: ast.stmt | None, function: str) -> Iterator[Slot]:
    """The slots below a node, whose code is in a function, whose change could be noticed."""
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS:
            continue
        children = enumerate(value) if isinstance(value, list) else ((None, value),)
        for place, child in children:
            if not isinstance(child, ast.AST) or _is_idle(child, function):
                continue
            around = child if isinstance(child, ast.stmt) else statement
            if around is not None:
                yield Slot(node, field, place, child, around, function)
            if not isinstance(child, ast.Raise):
                yield from _walk(child, around, _function_of(child, node, function))


def _function_of(node: ast.AST, parent: ast.AST, function: str) -> str:
    """The qualified name of the function that a node's children are in, as code objects have it."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return function
    if function == MODULE:
        return node.name
    return f"{function}{'.' if isinstance(parent, ast.ClassDef) else '.<locals>.'}{node.name}"


def _is_idle(node: ast.AST, function: str) -> bool:
    """Whether no change of a node and what is below it matters, or none is worth a test."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.keyword) and node.arg in IDLE_KEYWORDS:
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Subscript) and function == MODULE  # an alias of types


def _variants(slot: Slot) -> Variants:
    """Operators and what a slot's node becomes by them."""
    node = slot.node
    if isinstance(node, ast.expr):
        if slot.field == "test" and not isinstance(node, ast.UnaryOp | ast.Compare):
            yield "condition", ast.UnaryOp(ast.Not(), node)
        if slot.field == "ifs":
            yield "condition", ast.Constant(True)
        if isinstance(slot.parent, ast.Slice) and not isinstance(node, ast.Constant):
            yield "index", ast.BinOp(node, ast.Add(), ast.Constant(1))
    for kind, change in _CHANGES.items():
        if isinstance(node, kind):
            yield from change(node)


def _change_comparison(node: ast.Compare) -> Variants:
    for place, operation in enumerate(node.ops):
        for other in COMPARISONS[type(operation)]:
            yield "comparison", _with(node, ops=_replaced(node.ops, place, other()))


def _change_arithmetic(node: ast.BinOp) -> Variants:
    texts = (ast.JoinedStr, ast.Constant)
    if any(isinstance(n, texts) and not _is_number(n) for n in (node.left, node.right)):
        return
    if type(node.op) in ARITHMETIC:
        yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())


def _change_update(node: ast.AugAssign) -> Variants:
    if type(node.op) in ARITHMETIC:
        yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())


def _change_constant(node: ast.Constant) -> Variants:
    if isinstance(node.value, bool):
        yield "constant", ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield "constant", ast.Constant(node.value + 1)
        yield "constant", ast.Constant(node.value - 1)
    elif isinstance(node.value, float):
        yield "constant", ast.Constant(node.value * 1.1 or 0.1)
        yield "constant", ast.Constant(node.value * 0.9 or -0.1)


def _change_sign(node: ast.UnaryOp) -> Variants:
    if isinstance(node.op, ast.Not) or not isinstance(node.operand, ast.Constant):
        yield "negation", node.operand


def _change_logic(node: ast.BoolOp) -> Variants:
    yield "logic", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for place in range(len(node.values)):
        kept = [value for other, value in enumerate(node.values) if other != place]
        yield "logic", kept[0] if len(kept) == 1 else _with(node, values=kept)


def _change_call(node: ast.Call) -> Variants:
    called = node.func
    if isinstance(called, ast.Name) and called.id in CALLS:
        yield "call", _with(node, func=_with(called, id=CALLS[called.id]))
    elif isinstance(called, ast.Attribute):
        if called.attr in CALLS:
            yield "call", _with(node, func=_with(called, attr=CALLS[called.attr]))
        elif called.attr == "copy" and not node.args:
            yield "call", called.value


def _change_index(node: ast.Subscript) -> Variants:
    if isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Name):
        yield "index", _with(node, slice=ast.BinOp(node.slice, ast.Sub(), ast.Constant(1)))


def _change_result(node: ast.Return) -> Variants:
    if node.value is not None and not _is_none(node.value):
        yield "result", ast.Return(ast.Constant(None))


def _remove(node: ast.stmt) -> Variants:
    """Leave out a statement that does something besides naming a value."""
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    is_written = isinstance(node, ast.Assign) and not all(
        isinstance(target, ast.Name) for target in node.targets
    )
    if is_call or is_written or isinstance(node, REMOVED):
        yield "statement", ast.Pass()


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _replaced(values: list[Any], place: int, value: object) -> list[Any]:
    return [*values[:place], value, *values[place + 1 :]]


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


_CHANGES: dict[type[ast.AST], Callable[[Any], Variants]] = {
    ast.Compare: _change_comparison,
    ast.BinOp: _change_arithmetic,
    ast.AugAssign: _change_update,
    ast.Constant: _change_constant,
    ast.UnaryOp: _change_sign,
    ast.BoolOp: _change_logic,
    ast.Call: _change_call,
    ast.Subscript: _change_index,
    ast.Return: _change_result,
    ast.stmt: _remove,
}
