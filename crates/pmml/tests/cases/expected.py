"""Scores the rows of rows.csv with every document beside this file, and writes what the reference
engine says to NAME.csv: the target, the output fields, and `error` where it raises.

Run with jpmml_evaluator 0.16 (JPMML-Evaluator 1.7.7) and a Java runtime.
"""

import csv
import pathlib

from jpmml_evaluator import make_evaluator

HERE = pathlib.Path(__file__).parent
NUMBERS = {"x": float, "y": float, "n": int, "s": str}
NAMES = ["target", "probability(a)", "probability(b)", "probability(c)"]

rows = list(csv.DictReader((HERE / "rows.csv").open()))
for document in sorted(HERE.glob("*.pmml")):
    evaluator = make_evaluator(str(document))
    target = "t" if 'name="t" usageType' in document.read_text() else "r"
    with document.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*NAMES, "error"])
        for row in rows:
            record = {name: NUMBERS[name](text) if text else None for name, text in row.items()}
            try:
                result = evaluator.evaluate(record)
            except Exception as error:
                writer.writerow(["", "", "", "", str(error).split(":")[0].split(".")[-1]])
                continue
            # A chosen segment without a target of its own predicts a nameless one.
            predicted = result.get(target, result.get("", result.get(None)))
            cells = [predicted, *(result.get(name) for name in NAMES[1:])]
            writer.writerow([*("" if cell is None else cell for cell in cells), ""])
