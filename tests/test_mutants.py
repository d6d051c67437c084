"""The list of mistakes that tests must catch fits the code, the tests and CONTRIBUTING.md."""

import ast

import pytest
from mutants import MUTANTS, ROOT, mutated, table


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.mistake}")
def test_a_mistake_can_be_made_and_its_test_is_there(mutant):
    assert mutant.new != mutant.old
    ast.parse(mutated(mutant))
    path, *names = mutant.test.split("::")
    defined = {
        node.name
        for file in (path, "tests/suites.py")
        for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert defined >= set(names)


def test_contributing_holds_the_list():
    assert table() in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
