"""Add to pseudo-labels the prompt algorithms that agree on a nucleus."""

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pseudo_label", sa.Column("agreement", sa.JSON(), server_default="[]", nullable=False))


def downgrade() -> None:
    # SQLite before 3.35 cannot drop a column: create the table again, without a rowid as before
    with op.batch_alter_table("pseudo_label", table_kwargs={"sqlite_with_rowid": False}) as table:
        table.drop_column("agreement")
