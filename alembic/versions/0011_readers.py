"""Add the reader that read each frame, and the digest of a plane as a plugin's reader gave it."""

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


# Plain ALTER TABLE, which SQLite knows too: views read these tables, so they are not built anew.
def upgrade() -> None:
    op.add_column("frame", sa.Column("reader", sa.String(), nullable=True))
    op.add_column("frame", sa.Column("reader_version", sa.String(), nullable=True))
    op.add_column("channel", sa.Column("plane_sha256", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("channel", "plane_sha256")
    op.drop_column("frame", "reader_version")
    op.drop_column("frame", "reader")
