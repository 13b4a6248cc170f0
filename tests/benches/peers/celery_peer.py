"""Celery with Redis beside the farm: tasks that do nothing, on a worker with two processes of this machine.

Starts a redis-server of its own (REDIS_SERVER, else the one in PATH) on a socket in a directory of its own, without
persistence, and a worker. The questions and answers are those of ray_peer.py.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from celery import Celery

DIR = os.environ.get("PEER_DIR")
app = Celery("celery_peer")
if DIR:
    app.conf.broker_url = f"redis+socket://{DIR}/redis.sock"
    app.conf.result_backend = f"redis+socket://{DIR}/redis.sock"
app.conf.broker_connection_retry_on_startup = True


@app.task
def nothing():
    return None


@app.task
def started():
    return time.time()


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start(arguments, **more):
    return subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
        **more,
    )


def serve(directory):
    redis = os.environ.get("REDIS_SERVER", "redis-server")
    socket = f"{directory}/redis.sock"
    parts = [start([redis, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", directory])]
    while not os.path.exists(socket):
        if parts[0].poll() is not None:
            raise SystemExit("redis-server did not start")
        time.sleep(0.01)
    here = os.path.dirname(os.path.abspath(__file__))
    worker = ["-m", "celery", "-A", "celery_peer", "worker", "-c", "2", "-l", "ERROR", "--without-gossip"]
    environment = dict(os.environ, PEER_DIR=directory, PYTHONDONTWRITEBYTECODE="1")
    parts.append(start([sys.executable, *worker], cwd=here, env=environment))
    return parts


def main():
    directory = tempfile.mkdtemp(prefix="celery-peer-")
    parts = []
    try:
        parts = serve(directory)
        url = f"redis+socket://{directory}/redis.sock"
        app.conf.update(broker_url=url, result_backend=url)
        for result in [nothing.delay() for _ in range(200)]:
            result.get(timeout=60)
        print("ready", flush=True)
        for line in sys.stdin:
            question, count = line.split()[0], int(line.split()[1])
            if question == "rate":
                began = time.perf_counter()
                for result in [nothing.delay() for _ in range(count)]:
                    result.get(timeout=120)
                print(count / (time.perf_counter() - began), flush=True)
            else:
                waits = []
                for _ in range(count):
                    began = time.time()
                    waits.append((started.delay().get(timeout=60) - began) * 1e3)
                print(json.dumps(waits), flush=True)
    finally:
        for part in reversed(parts):
            part.terminate()
            part.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    # The worker knows tasks by the module's name, not by __main__.
    import celery_peer

    celery_peer.main()
