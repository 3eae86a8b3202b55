"""Results per assay; a view for each question that users ask in SQL; no table of metrics.

A later migration that changes or drops a table that a view reads drops the views first and makes them again.
"""

import sqlalchemy as sa

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = ["patient_id", "assay_name", "assay_version"]

SUCCEEDED = "status IN ('succeeded', 'succeeded with failures')"
LATEST_COUNT = f"SELECT slide_id, MAX(id) AS run_id FROM run WHERE step = 'count' AND {SUCCEEDED} GROUP BY slide_id"  # noqa: S608

SLIDE_RUNS = f"""
SELECT patient.code AS patient, slide.barcode AS slide, run.step, run.id AS run_id, run.status, run.assay_name, run.assay_version,
  run.app_version, run.started_at, run.finished_at,
  (SELECT COUNT(*) FROM run_frame WHERE run_frame.run_id = run.id) AS frames,
  (SELECT COUNT(*) FROM run_frame WHERE run_frame.run_id = run.id AND run_frame.status = 'done') AS frames_done
FROM (SELECT slide_id, step, MAX(id) AS run_id FROM run WHERE {SUCCEEDED} GROUP BY slide_id, step) AS latest
JOIN run ON run.id = latest.run_id
JOIN slide ON slide.id = run.slide_id
JOIN patient ON patient.id = slide.patient_id
"""  # noqa: S608

LATEST_RESULT = """
FROM (SELECT patient_id, assay_name, assay_version, MAX(run_id) AS run_id FROM patient_result
  GROUP BY patient_id, assay_name, assay_version) AS latest
JOIN patient_result AS result ON result.run_id = latest.run_id AND result.patient_id = latest.patient_id
JOIN patient ON patient.id = result.patient_id
"""

PATIENT_COUNTS = f"""
SELECT patient.code AS patient, result.assay_name, result.assay_version, result.cells, result.evaluable, result.needs_review,
  result.cacs, result.cacs_balanced_polyploid, result.blood_volume_ul,
  result.cacs_per_100ul, result.cacs_per_100ul_low, result.cacs_per_100ul_high,
  result.verdict, result.verdict_without_polyploid, result.frames, result.frames_failed, result.created_at, result.run_id
{LATEST_RESULT}
"""

PATIENT_CLASSES = {
    "sqlite": f"""
SELECT patient.code AS patient, result.assay_name, result.assay_version, class.key AS class, class.value AS cells
{LATEST_RESULT}
JOIN json_each(result.classes) AS class
""",
    "postgresql": f"""
SELECT patient.code AS patient, result.assay_name, result.assay_version, class.key AS class, CAST(class.value AS INTEGER) AS cells
{LATEST_RESULT}
CROSS JOIN LATERAL json_each_text(result.classes) AS class
""",
}

CELLS = f"""
SELECT patient.code AS patient, slide.barcode AS slide, frame.name AS frame, cell.label,
  CAST(cell.centroid_y_px AS DOUBLE PRECISION) / 100 AS y_px, CAST(cell.centroid_x_px AS DOUBLE PRECISION) / 100 AS x_px, cell.area_px,
  cell_call.class, cell_call.subtype, cell_call.is_cac, CAST(cell_call.margin AS DOUBLE PRECISION) / 100 AS margin,
  cell_call.evaluable, COALESCE(cell_call.exclusion_reason, cell.exclusion_reason) AS exclusion_reason,
  cell_call.needs_review, cell_call.review_reason, run.assay_name, run.assay_version, run.id AS run_id, cell.id AS cell_id
FROM ({LATEST_COUNT}) AS latest
JOIN run ON run.id = latest.run_id
JOIN slide ON slide.id = run.slide_id
JOIN patient ON patient.id = slide.patient_id
JOIN frame ON frame.slide_id = slide.id
JOIN cell ON cell.frame_id = frame.id AND cell.run_id = run.source_run_id
JOIN cell_call ON cell_call.cell_id = cell.id AND cell_call.run_id = run.id
"""  # noqa: S608

CELL_COPIES = f"""
SELECT patient.code AS patient, slide.barcode AS slide, frame.name AS frame, cell.label, channel.name AS channel,
  signal_count.n AS copies, run.id AS run_id, cell.id AS cell_id
FROM ({LATEST_COUNT}) AS latest
JOIN run ON run.id = latest.run_id
JOIN slide ON slide.id = run.slide_id
JOIN patient ON patient.id = slide.patient_id
JOIN frame ON frame.slide_id = slide.id
JOIN cell ON cell.frame_id = frame.id AND cell.run_id = run.source_run_id
JOIN signal_count ON signal_count.cell_id = cell.id AND signal_count.run_id = run.id
JOIN channel ON channel.frame_id = frame.id AND channel."index" = signal_count.channel
"""  # noqa: S608

VIEWS = {
    "v_slide_runs": SLIDE_RUNS,
    "v_patient_counts": PATIENT_COUNTS,
    "v_patient_classes": PATIENT_CLASSES,
    "v_cells": CELLS,
    "v_cell_copies": CELL_COPIES,
}


def upgrade() -> None:
    op.drop_table("metric")
    with op.batch_alter_table("patient_result") as table:
        table.add_column(sa.Column("assay_name", sa.String(), nullable=True))
        table.add_column(sa.Column("assay_version", sa.String(), nullable=True))
    _name_assays()
    with op.batch_alter_table("patient_result") as table:
        table.alter_column("assay_name", existing_type=sa.String(), nullable=False)
        table.alter_column("assay_version", existing_type=sa.String(), nullable=False)
        table.drop_index(op.f("ix_patient_result_patient_id"))
        table.create_index(op.f("ix_patient_result_patient_id_assay_name_assay_version"), KEY)
    dialect = op.get_bind().dialect.name
    for name, query in VIEWS.items():
        op.execute(sa.DDL(f"CREATE VIEW {name} AS {query if isinstance(query, str) else query[dialect]}"))


def _name_assays() -> None:
    """Fill in the assay of the counts that each result sums, and the number of uncertain cells, which was left out where it is 0."""
    bind = op.get_bind()
    run = sa.table("run", sa.column("id"), sa.column("assay_name"), sa.column("assay_version"))
    assays = {row.id: (row.assay_name or "unknown", row.assay_version or "unknown") for row in bind.execute(sa.select(run))}
    columns = [sa.column(name) for name in ("run_id", "patient_id", "assay_name", "assay_version")]
    result = sa.table("patient_result", *columns, sa.column("count_run_ids", sa.JSON()), sa.column("classes", sa.JSON()))
    for row in bind.execute(sa.select(result)).all():
        name, version = assays[row.count_run_ids[0] if row.count_run_ids else row.run_id]
        own = (result.c.run_id == row.run_id, result.c.patient_id == row.patient_id)
        classes = {**row.classes, "uncertain": row.classes.get("uncertain", 0)}
        bind.execute(sa.update(result).where(*own).values(assay_name=name, assay_version=version, classes=classes))


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    with op.batch_alter_table("patient_result") as table:
        table.drop_index(op.f("ix_patient_result_patient_id_assay_name_assay_version"))
        table.create_index(op.f("ix_patient_result_patient_id"), ["patient_id"])
        table.drop_column("assay_version")
        table.drop_column("assay_name")
    op.create_table(
        "metric",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_metric_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_metric_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric")),
    )
    op.create_index(op.f("ix_metric_run_id"), "metric", ["run_id"])
