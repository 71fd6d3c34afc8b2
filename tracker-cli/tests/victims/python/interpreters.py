"""Marks in subinterpreters, two of them at a time, and in the main one between them."""

import os
import sys
import threading

import truth

CODE = """
import itertools, sys
sys.path.insert(0, {folder!r})
sys.argv = ["", {out!r}]
import truth
truth.numbers = itertools.count({first})
truth.plain(3)
list(truth.delegating(2))
truth.reused_addresses()
truth.write("-{number}")
"""


def interpreter(number):
    folder = os.path.dirname(os.path.abspath(__file__))
    code = CODE.format(folder=folder, out=truth.OUT, first=20000 * number, number=number)
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters

        new = interpreters.create()
        failure = interpreters.exec(new, code)
        assert failure is None, failure
    else:
        import _xxsubinterpreters as interpreters

        new = interpreters.create(isolated=False)
        interpreters.run_string(new, code)
    interpreters.destroy(new)


truth.plain(1)
interpreter(1)
truth.plain(2)
interpreter(2)
threads = [threading.Thread(target=interpreter, args=(number,)) for number in (3, 4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
truth.plain(2)
truth.write()
