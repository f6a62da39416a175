"""A process that does, and times, a piece of work whenever it is asked to.

Each side of a comparison gets a process of its own where runtimes would disturb each
other (the threads of PyTorch and those of XLA), or where something belongs to a process
(its peak memory, its compiled programs).

    with Worker("benchmarks.limits:matmul") as worker:
        rate = worker()

imports the module there and calls the function once; what this returns is called at
every request, and its result handed back. So a worker is a side for
`benchmarks.measure.alternate`. Arguments and results travel as JSON.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self


class Worker:
    """The process.

    Args:
        factory: "module:function", which makes what is to be called.
        arguments: of the factory.

    Raises:
        RuntimeError: by a request, if the process has ended; it has said why.
    """

    def __init__(self, factory: str, *arguments: Any):
        self.factory = factory
        command = [sys.executable, "-m", "benchmarks.worker", factory]
        self.process = subprocess.Popen(
            [*command, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Several processes may share an accelerator.
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )
        assert self.process.stdin and self.process.stdout  # for the type checker
        self.requests, self.answers = self.process.stdin, self.process.stdout

    def ask(self) -> None:
        """Requests a call without waiting for it."""
        try:
            self.requests.write("go\n")
            self.requests.flush()
        except BrokenPipeError:
            pass  # `answer` tells

    def answer(self) -> Any:
        """Waits for the call that was requested; returns its result."""
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"The process of {self.factory} ended; see above.")
        return json.loads(line)

    def __call__(self) -> Any:
        """Requests a call and waits for it."""
        self.ask()
        return self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # closes its requests, which ends it


@contextmanager
def warm(factories: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Worker]]:
    """Workers by name, each of which has been called once.

    One after the other, so that none compiles while another is at work.
    """
    with ExitStack() as stack:
        workers = {}
        for name, factory in factories.items():
            workers[name] = stack.enter_context(Worker(*factory))
            workers[name]()
        yield workers


def _serve(factory: str, arguments: str) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    module, _, name = factory.partition(":")
    work = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    for _ in sys.stdin:
        print(json.dumps(work()), file=answers, flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
