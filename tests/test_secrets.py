"""Secrets are compared in constant time, wherever they are compared: `==` says by its time how much of one was right.

Every comparison of every file is looked at. What is named like a secret, or like what is kept of one, is compared with
`hmac.compare_digest` alone; to be looked up by its digest is another thing, since nobody can choose a digest.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from test_architecture import FILES, module_of, tree_of

SECRET = re.compile(r"(^|_)(token|secret|digest|password|passwd|credential|jwt|signature)s?$")

NO_SECRETS = frozenset(
    {
        # What a message is known again by, told to nobody: its sender alone could try others, and has the message.
        ("roost_broker.store.memory_operations", "earlier.digest != op.digest"),
        ("roost_broker.store.lmdb_publish", "digest != op.digest"),
    }
)


def name_of(node: ast.expr) -> str:
    """The last name of `a`, `a.b`, `a["b"]` or `a.b()`: what the value is."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=function):
            return name_of(function)
        case ast.Subscript(value=value) | ast.Await(value=value):
            return name_of(value)
    return ""


def comparisons(tree: ast.Module) -> Iterator[ast.Compare]:
    """Those that look at a value: not at whether there is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for operator, one, other in zip(node.ops, sides, sides[1:], strict=False):
                nothing = any(isinstance(side, ast.Constant) and side.value in (None, "") for side in (one, other))
                in_literal = isinstance(operator, ast.In | ast.NotIn) and isinstance(other, ast.Tuple | ast.Set)
                looks = isinstance(operator, ast.Eq | ast.NotEq) or in_literal
                if looks and not nothing and any(SECRET.search(name_of(side)) for side in (one, other)):
                    yield node


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_secret_is_compared_with_the_equals_sign(path: object) -> None:
    module, tree = module_of(path), tree_of(path)  # type: ignore[arg-type]
    found = [ast.unparse(node) for node in comparisons(tree)]
    wrong = [text for text in found if (module, text) not in NO_SECRETS]
    assert not wrong, f"{module}: {wrong}: use hmac.compare_digest"


def test_what_is_excepted_is_there() -> None:
    there = {(module_of(path), ast.unparse(node)) for path in FILES for node in comparisons(tree_of(path))}
    assert there >= NO_SECRETS


@pytest.mark.parametrize(
    "text",
    [
        "token == other",
        "a.token_digest != b",
        "kept == given.password",
        "row['secret'] == x",
        "x == token_digest(given)",
        "1 < 2 != jwt",
        "password in (a, b)",
        "(await secret()) == x",
        "tokens[0] == x",
    ],
)
def test_a_wrong_comparison_is_found(text: str) -> None:
    assert list(comparisons(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    ["token is None", "password_version == 2", "hmac.compare_digest(token, x)", "token == ''", "token in tokens"],
)
def test_a_right_one_is_not(text: str) -> None:
    assert not list(comparisons(ast.parse(text)))
