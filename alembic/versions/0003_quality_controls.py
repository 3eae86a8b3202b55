"""Add slide quality, duplicates, slides of healthy donors, and the result of ratio assays."""

import sqlalchemy as sa

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

big_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "control_slide",
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_control_slide_slide_id")),
        sa.PrimaryKeyConstraint("slide_id", name=op.f("pk_control_slide")),
    )
    op.create_table(
        "slide_quality",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("verdict IN ('pass', 'warn', 'fail')", name=op.f("ck_slide_quality_verdict")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_slide_quality_run_id")),
        sa.PrimaryKeyConstraint("run_id", "channel", "measure", name=op.f("pk_slide_quality")),
    )
    op.create_table(
        "duplicate",
        sa.Column("cell_id", big_id, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("duplicate_of", big_id, nullable=False),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_duplicate_cell_id")),
        sa.ForeignKeyConstraint(["duplicate_of"], ["cell.id"], name=op.f("fk_duplicate_duplicate_of")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_duplicate_run_id")),
        sa.PrimaryKeyConstraint("cell_id", "run_id", name=op.f("pk_duplicate")),
    )
    op.add_column("patient_result", sa.Column("ratio", sa.JSON(), nullable=True))


def downgrade() -> None:
    # SQLite before 3.35 cannot drop a column
    with op.batch_alter_table("patient_result") as table:
        table.drop_column("ratio")
    op.drop_table("duplicate")
    op.drop_table("slide_quality")
    op.drop_table("control_slide")
