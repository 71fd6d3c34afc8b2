"""A list of things, parsed: what memory budgets are tried on."""

import os

_forgotten = []


def parse(lines):
    """Reads a list."""
    items = [bytearray(line, "utf-8") for line in lines]
    # The change that breaks the budget: a copy that is kept.
    if "EXAMPLE_BREAK" in os.environ:
        _forgotten.append(bytearray(1 << 20))
    return items
