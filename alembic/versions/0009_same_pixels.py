"""Add the digest of each channel's pixels, who stated a frame's pixel size, and who allowed pixels that another patient has too."""

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


# Plain ALTER TABLE, which SQLite knows too: views read these tables, so they are not built anew.
def upgrade() -> None:
    op.add_column("channel", sa.Column("pixels_sha256", sa.String(), nullable=True))
    op.create_index(op.f("ix_channel_pixels_sha256"), "channel", ["pixels_sha256"])
    op.add_column("frame", sa.Column("pixel_size_source", sa.String(), nullable=True))
    op.add_column("frame", sa.Column("same_pixels", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("frame", "same_pixels")
    op.drop_column("frame", "pixel_size_source")
    op.drop_index(op.f("ix_channel_pixels_sha256"), "channel")
    op.drop_column("channel", "pixels_sha256")
