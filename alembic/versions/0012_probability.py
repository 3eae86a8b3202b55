"""Add the probability that a cell is a CAC, and what leaves it open, to calls and to the view of cells; earlier calls have none."""

import sqlalchemy as sa

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SUCCEEDED = "status IN ('succeeded', 'succeeded with failures')"
LATEST_COUNT = f"SELECT slide_id, MAX(id) AS run_id FROM run WHERE step = 'count' AND {SUCCEEDED} GROUP BY slide_id"  # noqa: S608

CELLS = """
SELECT patient.code AS patient, slide.barcode AS slide, frame.name AS frame, cell.label,
  CAST(cell.centroid_y_px AS DOUBLE PRECISION) / 100 AS y_px, CAST(cell.centroid_x_px AS DOUBLE PRECISION) / 100 AS x_px, cell.area_px,
  cell_call.class, cell_call.subtype, cell_call.is_cac, CAST(cell_call.margin AS DOUBLE PRECISION) / 100 AS margin,
  cell_call.evaluable, COALESCE(cell_call.exclusion_reason, cell.exclusion_reason) AS exclusion_reason,
  cell_call.needs_review, cell_call.review_reason,{probability} run.assay_name, run.assay_version, run.id AS run_id, cell.id AS cell_id
FROM ({latest}) AS latest
JOIN run ON run.id = latest.run_id
JOIN slide ON slide.id = run.slide_id
JOIN patient ON patient.id = slide.patient_id
JOIN frame ON frame.slide_id = slide.id
JOIN cell ON cell.frame_id = frame.id AND cell.run_id = run.source_run_id
JOIN cell_call ON cell_call.cell_id = cell.id AND cell_call.run_id = run.id
"""
PROBABILITY = " CAST(cell_call.p_cac AS DOUBLE PRECISION) / 10000 AS p_cac, cell_call.p_terms,"


# Plain ALTER TABLE, which SQLite knows too: other views read these tables, so they are not built anew.
def upgrade() -> None:
    op.execute("DROP VIEW v_cells")
    op.add_column("cell_call", sa.Column("p_cac", sa.Integer(), nullable=True))
    op.add_column("cell_call", sa.Column("p_terms", sa.String(), nullable=True))
    op.execute(sa.DDL(f"CREATE VIEW v_cells AS {CELLS.format(latest=LATEST_COUNT, probability=PROBABILITY)}"))


def downgrade() -> None:
    op.execute("DROP VIEW v_cells")
    op.drop_column("cell_call", "p_terms")
    op.drop_column("cell_call", "p_cac")
    op.execute(sa.DDL(f"CREATE VIEW v_cells AS {CELLS.format(latest=LATEST_COUNT, probability='')}"))
