"""Ray beside the farm: tasks that do nothing, on two workers of this machine.

Says "ready" when it is warm. Then each line of standard input is a question, and each line of output its answer:

    rate N     N tasks submitted at once; tasks a second from the first submit to the last result
    starts N   N tasks one after the other; milliseconds from the submit of each to its start, as a JSON list

Ends with its standard input.
"""

import json
import sys
import time

import ray


@ray.remote
def nothing():
    return None


@ray.remote
def started():
    return time.time()


def main():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.get([nothing.remote() for _ in range(500)])
    print("ready", flush=True)
    for line in sys.stdin:
        question, count = line.split()[0], int(line.split()[1])
        if question == "rate":
            began = time.perf_counter()
            ray.get([nothing.remote() for _ in range(count)])
            print(count / (time.perf_counter() - began), flush=True)
        else:
            waits = []
            for _ in range(count):
                began = time.time()
                waits.append((ray.get(started.remote()) - began) * 1e3)
            print(json.dumps(waits), flush=True)
    ray.shutdown()


main()
