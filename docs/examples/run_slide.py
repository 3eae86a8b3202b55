"""Takes one slide through the whole pipeline from a script, and prints its result and its CACs.

python docs/examples/run_slide.py SLIDE_FOLDER cacapp.db
"""

from __future__ import annotations

import sys

import cacapp

folder, db = sys.argv[1:]
result = cacapp.run_slide(
    folder,
    patient="P1",
    slide="S1",
    blood_volume_ul=100,
    db=db,
    parameters={"watershed": {"floor": 0.4}},  # see: cacapp plugins show watershed
    min_evaluable_cells=20,  # a small slide; without it, the assay's 500
)
n = result.numbers
print(f"{result.slide}: {n.cacs} CACs in {n.evaluable} evaluable cells of {n.cells}, {result.verdict}")
print(f"  {n.cacs_per_100ul:.2f} CACs per 100 µL (95 % interval {n.cacs_per_100ul_low:.2f} to {n.cacs_per_100ul_high:.2f})")
for line in result.warnings:
    print(f"  note: {line}")

cells = result.cells()  # a pyarrow.Table: cells.to_pandas() where pandas is installed
for row in cells.to_pylist():
    if row["is_cac"]:
        print(f"  {row['frame']} cell {row['label']}: red {row['red']}, green {row['green']}, gold {row['gold']}, aqua {row['aqua']}")
