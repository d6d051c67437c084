"""The list of mistakes that tests must catch fits the code, the tests and CONTRIBUTING.md."""

import ast
import os

import pytest
from mutants import MUTANTS, ROOT, main, mutated, sampled, table


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes as on POSIX")
def test_a_sample_of_them_is_caught(capsys):
    assert main(["--sample", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 caught"


def test_over_the_days_all_are_sampled():
    assert len(MUTANTS) >= 60
    days = len(MUTANTS) // 2 + 1
    assert {m for day in range(days) for m in sampled(2, day)} == set(MUTANTS)
