"""CACs of each patient and the brightest signals, from a record, as a notebook would ask.

python docs/examples/notebook.py cacapp.db
"""

from __future__ import annotations

import sys

import pyarrow.compute as pc

import cacapp

with cacapp.open(sys.argv[1]) as record:
    for patient in record.patients().to_pylist():
        print(f"{patient['patient']}: {patient['cacs']} CACs in {patient['evaluable']} evaluable cells, {patient['verdict']}")

    cells = record.cells()  # a pyarrow.Table: cells.to_pandas() where pandas is installed
    for row in cells.filter(pc.field("is_cac")).to_pylist():
        decided = row["reviewed_class"] or "not reviewed"
        print(f"  {row['slide']} {row['frame']} cell {row['label']}: red {row['red']}, green {row['green']}, {decided}")

    # mean copies of each probe over the evaluable cells
    counts = record.counts().join(cells.select(["cell_id", "evaluable"]), "cell_id").filter(pc.field("evaluable"))
    for row in counts.group_by("channel").aggregate([("copies", "mean")]).sort_by("channel").to_pylist():
        print(f"  {row['channel']}: {row['copies_mean']:.2f} copies on average")

    signals = record.signals()
    print(f"  median SNR of {signals.num_rows} signals: {pc.approximate_median(signals['snr']).as_py():.1f}")
