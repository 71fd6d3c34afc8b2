"""The tests, with pytest-memray's markers."""

import pytest
from inventory import parse


@pytest.mark.limit_leaks("512 KB")
@pytest.mark.limit_memory("24 MB")
def test_a_list_is_parsed():
    assert len(parse(f"item {number}" for number in range(1000))) == 1000
