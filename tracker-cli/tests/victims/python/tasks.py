"""A Celery application whose queue is a folder, and the program that starts its worker, gives it work and ends it."""

import os
import signal
import subprocess
import sys

if __name__ == "__main__":
    os.environ["TOLD"] = os.path.abspath(sys.argv[-1])

import truth
from celery import Celery

truth.OUT = os.environ["TOLD"]
queue, results = os.path.abspath("queue"), os.path.abspath("results")
for folder in (queue, results):
    os.makedirs(folder, exist_ok=True)
app = Celery("tasks", broker="filesystem://", backend="file://" + results)
app.conf.broker_transport_options = {"data_folder_in": queue, "data_folder_out": queue, "control_folder": queue + "-control"}
app.conf.worker_prefetch_multiplier = 1


@app.task
def job(number):
    truth.plain(number % 7)
    list(truth.delegating(2))
    truth.write()
    return os.getpid()


if __name__ == "__main__":
    from tasks import job

    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency", "4", "--loglevel", "ERROR"]
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "PYTHONPATH": here, "C_FORCE_ROOT": "1"}
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    jobs = [job.delay(number) for number in range(60)]
    workers = {pending.get(timeout=120) for pending in jobs}
    assert len(workers) > 1, workers
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=60)
