"""Marks in greenlets, with everything of the standard library patched to switch between them."""

from gevent import monkey

monkey.patch_all()

import socket
import threading
import time

import gevent
import truth


def task(number):
    truth.plain(number % 5)
    time.sleep(0.001 * (number % 3))
    list(truth.delegating(1))
    gevent.sleep(0)
    truth.mark_unlocked()


def reader(connection):
    truth.mark()
    connection.recv(1)
    truth.mark()


gevent.joinall([gevent.spawn(task, number) for number in range(50)], raise_error=True)
ends, others = zip(*(socket.socketpair() for _ in range(10)))
readers = [threading.Thread(target=reader, args=(end,)) for end in ends]
for thread in readers:
    thread.start()
for other in others:
    gevent.sleep(0)
    other.send(b"x")
for thread in readers:
    thread.join()
truth.threads()
truth.write()
