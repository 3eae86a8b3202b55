"""Add the ledger of requests, the owner of a run, and the status of runs that succeeded except for some frames."""

import sqlalchemy as sa

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = "status IN ('running', 'succeeded', 'failed', 'cancelled')"
NOW = "status IN ('running', 'succeeded', 'succeeded with failures', 'failed', 'cancelled')"


def upgrade() -> None:
    op.create_table(
        "request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('open', 'done', 'failed', 'cancelled')", name=op.f("ck_request_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.create_index(op.f("ix_request_digest"), "request", ["digest"])
    with op.batch_alter_table("run") as table:
        table.add_column(sa.Column("request_id", sa.Integer(), nullable=True))
        table.add_column(sa.Column("owner", sa.String(), nullable=True))
        table.add_column(sa.Column("beats", sa.Integer(), server_default="0", nullable=False))
        table.drop_constraint(op.f("ck_run_status"), type_="check")
        table.create_check_constraint(op.f("ck_run_status"), NOW)
        table.create_foreign_key(op.f("fk_run_request_id"), "request", ["request_id"], ["id"])
        table.create_index(op.f("ix_run_request_id"), ["request_id"])
    op.execute(
        "UPDATE run SET status = 'succeeded with failures' WHERE status = 'succeeded' "
        "AND EXISTS (SELECT 1 FROM run_frame WHERE run_frame.run_id = run.id AND run_frame.status <> 'done')"
    )


def downgrade() -> None:
    op.execute("UPDATE run SET status = 'succeeded' WHERE status = 'succeeded with failures'")
    with op.batch_alter_table("run") as table:
        table.drop_index(op.f("ix_run_request_id"))
        table.drop_constraint(op.f("fk_run_request_id"), type_="foreignkey")
        table.drop_constraint(op.f("ck_run_status"), type_="check")
        table.create_check_constraint(op.f("ck_run_status"), BEFORE)
        table.drop_column("beats")
        table.drop_column("owner")
        table.drop_column("request_id")
    op.drop_index(op.f("ix_request_digest"), table_name="request")
    op.drop_table("request")
