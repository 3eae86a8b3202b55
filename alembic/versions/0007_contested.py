"""Add the table of ambiguous signals, and an index to find duplicates by the nucleus that is counted."""

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    id_type = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    key = ["cell_id", "run_id", "channel", "number"]
    op.create_table(
        "contested_signal",
        sa.Column("cell_id", id_type, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("other_cell_id", id_type, nullable=True),
        sa.ForeignKeyConstraint(key, [f"signal.{name}" for name in key], name=op.f("fk_contested_signal_cell_id")),
        sa.ForeignKeyConstraint(["other_cell_id"], ["cell.id"], name=op.f("fk_contested_signal_other_cell_id")),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_contested_signal")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_contested_signal_other_cell_id"), "contested_signal", ["other_cell_id"])
    op.create_index(op.f("ix_duplicate_duplicate_of"), "duplicate", ["duplicate_of"])


def downgrade() -> None:
    op.drop_index(op.f("ix_duplicate_duplicate_of"), table_name="duplicate")
    op.drop_index(op.f("ix_contested_signal_other_cell_id"), table_name="contested_signal")
    op.drop_table("contested_signal")
