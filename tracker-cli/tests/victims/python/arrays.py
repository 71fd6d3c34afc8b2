"""Arrays of numpy, each allocated on the line where the script asks for its own stack."""

import sys

import numpy
import truth


def array(shape):
    size = truth.LARGE + truth.STEP * next(truth.numbers)
    found = truth.stack(sys._getframe()); block = numpy.empty(size // shape[0] * shape[0], "u1")
    truth.note(size // shape[0] * shape[0], found)
    return block.reshape(shape[0], -1).sum()


def doubled(block):
    found = truth.stack(sys._getframe()); block = block + block
    truth.note(block.nbytes, found)
    return block.nbytes


# What numpy keeps for later is made before.
for _ in range(50):
    numpy.empty(10, "u1")
for rows in (1, 2, 4, 8):
    array((rows,))
truth.plain(2)
for number in range(4):
    doubled(numpy.ones(500_000 + number))
truth.write()
