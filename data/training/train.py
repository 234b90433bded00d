"""Train every model of models.toml on the wine data and score each with its reference engine.

    python data/training/train.py [--out DIRECTORY]

Needs the packages of requirements.txt and a Java runtime, version 11 or newer: the PMML
converter and the PMML reference engine are written in Java. Progress goes to stderr.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

# Read by the numeric libraries when they are imported. One thread and plain kernels, because the
# order of a parallel sum, and with it the last digit of a weight, changes from run to run.
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    CUDA_VISIBLE_DEVICES="-1",
    TF_CPP_MIN_LOG_LEVEL="3",
    TF_ENABLE_ONEDNN_OPTS="0",
)

TRAINING = Path(__file__).resolve().parent
DATA = TRAINING.parent
OLDEST_JAVA = 11


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--out",
        type=Path,
        default=DATA,
        metavar="DIRECTORY",
        help="where models/ and golden/ are written (default: the data directory itself)",
    )
    out = arguments.parse_args().out.resolve()

    if problem := java_problem():
        return failed(problem)
    try:
        import golden
        import linear
        import network
        import perceptron
        import trees
        import wine
    except ModuleNotFoundError as error:
        return failed(
            f"the Python package {error.name} is missing; run"
            f" {sys.executable} -m pip install -r {TRAINING / 'requirements.txt'}"
        )

    records = wine.read(DATA / wine.FILE)
    manifest = tomllib.loads((DATA / "models.toml").read_text(encoding="utf-8"))["model"]
    builders = {
        **trees.BUILDERS,
        **linear.BUILDERS,
        **perceptron.BUILDERS,
        **network.BUILDERS,
    }
    if unknown := [model["name"] for model in manifest if model["name"] not in builders]:
        return failed(f"models.toml names models that no script builds: {', '.join(unknown)}")

    if out != DATA:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("models.toml", wine.FILE):
            shutil.copyfile(DATA / name, out / name)
    for model in manifest:
        name, path, scores = model["name"], out / model["path"], out / model["golden"]
        started = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        builders[name](records, path)
        scores.parent.mkdir(parents=True, exist_ok=True)
        table = golden.ENGINES[model["type"]](path, records)
        table.to_csv(scores, index=False, lineterminator="\n")
        print(f"{name}: built and scored in {time.monotonic() - started:.1f} s", file=sys.stderr)
    print(f"wrote {len(manifest)} models and their golden scores to {out}", file=sys.stderr)
    return 0


def java_problem() -> str | None:
    """Why the Java runtime cannot be used, or None if it can."""
    home = os.environ.get("JAVA_HOME")
    command = str(Path(home) / "bin" / "java") if home else "java"
    where = f"in JAVA_HOME ({home})" if home else "on the PATH"
    try:
        answer = subprocess.run([command, "-version"], capture_output=True, text=True, check=True)
    except OSError as error:
        return (
            f"no Java runtime {where} ({error.strerror}): the PMML converter and the PMML reference"
            f" engine need Java {OLDEST_JAVA} or newer"
        )
    except subprocess.CalledProcessError as error:
        return f"the Java runtime {where} does not start: {error.stderr.strip()}"
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    if version and int(version[1]) < OLDEST_JAVA:
        return f"the Java runtime {where} is version {version[1]}: {OLDEST_JAVA} or newer is needed"
    return None


def failed(why: str) -> int:
    print(f"train.py: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
