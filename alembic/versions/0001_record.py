"""Create the tables of patients, slides, frames, runs with their ledger, cells, signals, calls and results."""

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


big_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "patient",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient")),
        sa.UniqueConstraint("code", name=op.f("uq_patient_code")),
    )
    op.create_table(
        "slide",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Integer(), nullable=False),
        sa.Column("barcode", sa.String(), nullable=False),
        sa.Column("blood_volume_ul", sa.Float(), nullable=True),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("blood_volume_ul IS NULL OR blood_volume_ul > 0", name=op.f("ck_slide_blood_volume_positive")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_slide_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slide")),
        sa.UniqueConstraint("barcode", name=op.f("uq_slide_barcode")),
    )
    op.create_index(op.f("ix_slide_patient_id"), "slide", ["patient_id"])
    op.create_table(
        "frame",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("scene", sa.String(), nullable=False),
        sa.Column("projection", sa.String(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("pixel_size_um", sa.Float(), nullable=True),
        sa.Column("stage_x_um", sa.Float(), nullable=True),
        sa.Column("stage_y_um", sa.Float(), nullable=True),
        sa.Column("focus", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_frame_slide_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame")),
        sa.UniqueConstraint("slide_id", "name", name=op.f("uq_frame_slide_id_name")),
        sa.UniqueConstraint("slide_id", "sha256", "scene", name=op.f("uq_frame_slide_id_sha256_scene")),
    )
    op.create_index(op.f("ix_frame_sha256"), "frame", ["sha256"])
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("source_run_id", sa.Integer(), nullable=True),
        sa.Column("algorithms", sa.JSON(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("weights_sha256", sa.String(), nullable=True),
        sa.Column("assay_name", sa.String(), nullable=True),
        sa.Column("assay_version", sa.String(), nullable=True),
        sa.Column("assay_toml", sa.String(), nullable=True),
        sa.Column("app_version", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_run_status")),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_run_slide_id")),
        sa.ForeignKeyConstraint(["source_run_id"], ["run.id"], name=op.f("fk_run_source_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_fingerprint"), "run", ["fingerprint"])
    op.create_index(op.f("ix_run_slide_id_step"), "run", ["slide_id", "step"])
    op.create_table(
        "cell",
        sa.Column("id", big_id, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("bbox_x_px", sa.Integer(), nullable=False),
        sa.Column("bbox_y_px", sa.Integer(), nullable=False),
        sa.Column("bbox_w_px", sa.Integer(), nullable=False),
        sa.Column("bbox_h_px", sa.Integer(), nullable=False),
        sa.Column("centroid_y_px", sa.Integer(), nullable=False),
        sa.Column("centroid_x_px", sa.Integer(), nullable=False),
        sa.Column("area_px", sa.Integer(), nullable=False),
        sa.Column("length_px", sa.Integer(), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("roundness", sa.Integer(), nullable=False),
        sa.Column("solidity", sa.Integer(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("focus", sa.Integer(), nullable=True),
        sa.Column("mask", sa.LargeBinary(), nullable=False),
        sa.Column("evaluable", sa.Boolean(), nullable=False),
        sa.Column("exclusion_reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_cell_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_cell_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cell")),
        sa.UniqueConstraint("frame_id", "run_id", "label", name=op.f("uq_cell_frame_id_run_id_label")),
    )
    op.create_table(
        "channel",
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("found_as", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("source_index", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("exposure_ms", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_channel_frame_id")),
        sa.PrimaryKeyConstraint("frame_id", "index", name=op.f("pk_channel")),
    )
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
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("trained_from_run_id", sa.Integer(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["trained_from_run_id"], ["run.id"], name=op.f("fk_model_trained_from_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "patient_result",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Integer(), nullable=False),
        sa.Column("count_run_ids", sa.JSON(), nullable=False),
        sa.Column("cells", sa.Integer(), nullable=False),
        sa.Column("evaluable", sa.Integer(), nullable=False),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("exclusions", sa.JSON(), nullable=False),
        sa.Column("needs_review", sa.Integer(), nullable=False),
        sa.Column("cacs", sa.Integer(), nullable=False),
        sa.Column("cacs_balanced_polyploid", sa.Integer(), nullable=False),
        sa.Column("blood_volume_ul", sa.Float(), nullable=True),
        sa.Column("cacs_per_100ul", sa.Float(), nullable=True),
        sa.Column("cacs_per_100ul_low", sa.Float(), nullable=True),
        sa.Column("cacs_per_100ul_high", sa.Float(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("verdict_without_polyploid", sa.String(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("frames_failed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_patient_result_patient_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_patient_result_run_id")),
        sa.PrimaryKeyConstraint("run_id", "patient_id", name=op.f("pk_patient_result")),
    )
    op.create_index(op.f("ix_patient_result_patient_id"), "patient_result", ["patient_id"])
    op.create_table(
        "run_frame",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'done', 'failed', 'quarantined')", name=op.f("ck_run_frame_status")),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_run_frame_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_frame_run_id")),
        sa.PrimaryKeyConstraint("run_id", "frame_id", name=op.f("pk_run_frame")),
    )
    op.create_table(
        "cell_call",
        sa.Column("cell_id", big_id, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("class", sa.String(), nullable=True),
        sa.Column("subtype", sa.String(), nullable=True),
        sa.Column("is_cac", sa.Boolean(), nullable=False),
        sa.Column("margin", sa.Integer(), nullable=True),
        sa.Column("evaluable", sa.Boolean(), nullable=False),
        sa.Column("exclusion_reason", sa.String(), nullable=True),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("review_reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_cell_call_cell_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_cell_call_run_id")),
        sa.PrimaryKeyConstraint("cell_id", "run_id", name=op.f("pk_cell_call")),
        sqlite_with_rowid=False,
    )
    not_normal = sa.text("class <> 'normal'")
    op.create_index(
        op.f("ix_cell_call_run_id_class"), "cell_call", ["run_id", "class"], sqlite_where=not_normal, postgresql_where=not_normal
    )
    op.create_table(
        "pseudo_label",
        sa.Column("cell_id", big_id, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_pseudo_label_cell_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_pseudo_label_run_id")),
        sa.PrimaryKeyConstraint("cell_id", "run_id", name=op.f("pk_pseudo_label")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cell_id", big_id, nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_review_cell_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index(op.f("ix_review_cell_id"), "review", ["cell_id"])
    op.create_table(
        "signal",
        sa.Column("cell_id", big_id, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("y_px", sa.Integer(), nullable=False),
        sa.Column("x_px", sa.Integer(), nullable=False),
        sa.Column("snr", sa.Integer(), nullable=False),
        sa.Column("amplitude", sa.Integer(), nullable=False),
        sa.Column("sigma_px", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("state IN (0, 1, 2)", name=op.f("ck_signal_state")),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_signal_cell_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_signal_run_id")),
        sa.PrimaryKeyConstraint("cell_id", "run_id", "channel", "number", name=op.f("pk_signal")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stray_signal",
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("y_px", sa.Integer(), nullable=False),
        sa.Column("x_px", sa.Integer(), nullable=False),
        sa.Column("snr", sa.Integer(), nullable=False),
        sa.Column("amplitude", sa.Integer(), nullable=False),
        sa.Column("sigma_px", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_stray_signal_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_stray_signal_run_id")),
        sa.PrimaryKeyConstraint("frame_id", "run_id", "channel", "number", name=op.f("pk_stray_signal")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signal_count",
        sa.Column("cell_id", big_id, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_signal_count_cell_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_signal_count_run_id")),
        sa.PrimaryKeyConstraint("cell_id", "run_id", "channel", name=op.f("pk_signal_count")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdict",
        sa.Column("cell_id", big_id, autoincrement=False, nullable=False),
        sa.Column("filter", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_verdict_cell_id")),
        sa.PrimaryKeyConstraint("cell_id", "filter", name=op.f("pk_verdict")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("verdict")
    op.drop_table("signal_count")
    op.drop_table("stray_signal")
    op.drop_table("signal")
    op.drop_table("review")
    op.drop_table("pseudo_label")
    op.drop_table("cell_call")
    op.drop_table("run_frame")
    op.drop_table("patient_result")
    op.drop_table("model")
    op.drop_table("metric")
    op.drop_table("channel")
    op.drop_table("cell")
    op.drop_table("run")
    op.drop_table("frame")
    op.drop_table("slide")
    op.drop_table("patient")
