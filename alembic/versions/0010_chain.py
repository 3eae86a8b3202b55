"""Add the chain over all signed and audited rows, and refuse every way to change or replace one of them.

Rows from before get links of their own, in the order of tables and numbers, whose origin says so: their digests prove that they have
not changed since this migration, not that they had not before.
"""

import sqlalchemy as sa

from alembic import op
from cacapp.db.review.chain import LINKED, link_rows
from cacapp.db.review.guards import KEYS, POSTGRES_FUNCTION, postgres_function, postgres_statements, sqlite_triggers

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ORIGIN = "migration 0010"
BEFORE = ("review", "sign_off", "amendment", "audit_event")
BATCH_ROWS = 5000


def upgrade() -> None:
    op.create_table(
        "chain_link",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row_table", sa.String(), nullable=False),
        sa.Column("row_id", sa.Integer(), nullable=False),
        sa.Column("row_sha256", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("previous_sha256", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_link")),
        sa.UniqueConstraint("row_table", "row_id", name=op.f("uq_chain_link_row_table_row_id")),
        sa.UniqueConstraint("previous_sha256", name=op.f("uq_chain_link_previous_sha256")),
        sa.UniqueConstraint("sha256", name=op.f("uq_chain_link_sha256")),
    )
    connection = op.get_bind()
    for table in LINKED:
        ids = connection.execute(sa.select(sa.column("id")).select_from(sa.table(table)).order_by(sa.column("id"))).scalars().all()
        for start in range(0, len(ids), BATCH_ROWS):
            link_rows(connection, [(table, row_id) for row_id in ids[start : start + BATCH_ROWS]], ORIGIN)
    if connection.dialect.name == "postgresql":
        for table in BEFORE:
            op.execute(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}")
        statements = [postgres_function(), *(s for table in KEYS for s in postgres_statements(table))]
    else:
        for table in BEFORE:
            for verb in ("update", "delete"):
                op.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
        statements = [sql for table in KEYS for sql in sqlite_triggers(table).values()]
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    """Remove the chain: a later upgrade links the rows anew, as rows from before it."""
    if op.get_bind().dialect.name == "postgresql":
        for table in BEFORE:
            op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
            op.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only")
        op.drop_table("chain_link")
        assert POSTGRES_FUNCTION == "cacapp_append_only"  # migration 0006 made it and drops it
        return
    for table in BEFORE:
        for suffix in ("no_replace", "no_negative_id"):
            op.execute(f"DROP TRIGGER {table}_{suffix}")
    op.drop_table("chain_link")
