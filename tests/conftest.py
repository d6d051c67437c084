"""Assertions of the base suites say what they compared, as those of tests do."""

import pytest

pytest.register_assert_rewrite("suites")
