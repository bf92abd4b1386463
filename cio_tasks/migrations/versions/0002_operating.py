"""What operating it needs: webhook events, alerts, heartbeats, counters, an audit that only grows, indexes by time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customerio_webhook_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=True),
        sa.Column("metric", sa.Text(), nullable=True),
        sa.Column("person_id", sa.Text(), nullable=True),
        sa.Column("delivery_id", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Text(), nullable=True),
        sa.Column(
            "flags", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customerio_webhook_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_customerio_webhook_events_event_id")),
    )
    op.create_index("ix_webhook_events_by_time", "customerio_webhook_events", ["received_at"])
    op.create_index("ix_webhook_events_of_person", "customerio_webhook_events", ["person_id", "received_at"])
    op.create_table(
        "customerio_alerts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("breached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "untold", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("telling_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_tellings", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_customerio_alerts")),
    )
    op.create_table(
        "customerio_heartbeats",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('worker', 'beat')", name=op.f("ck_customerio_heartbeats_kind_known")),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_customerio_heartbeats")),
    )
    op.create_index("ix_heartbeats_for_prune", "customerio_heartbeats", ["seen_at"])
    op.create_table(
        "customerio_counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("value", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_customerio_counters")),
    )
    op.create_index("ix_dead_letters_of_job", "customerio_dead_letters", ["job_id"])
    op.create_index("ix_dead_letters_by_time", "customerio_dead_letters", ["created_at"])
    op.create_index("ix_audit_logs_by_time", "audit_logs", ["created_at"])
    op.drop_constraint("fk_audit_logs_job_id", "audit_logs", type_="foreignkey")
    op.execute("""
        CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit_logs is only ever added to' USING ERRCODE = 'insufficient_privilege';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_logs_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_logs_only_grow ON audit_logs")
    op.execute("DROP FUNCTION refuse_change_of_audit()")
    # Entries of jobs that retention has deleted meanwhile may stay: the old constraint is not checked against them.
    op.execute("""
        ALTER TABLE audit_logs ADD CONSTRAINT fk_audit_logs_job_id
        FOREIGN KEY (job_id) REFERENCES signup_customerio_sync_jobs (id) NOT VALID
    """)
    op.drop_index("ix_audit_logs_by_time", "audit_logs")
    op.drop_index("ix_dead_letters_by_time", "customerio_dead_letters")
    op.drop_index("ix_dead_letters_of_job", "customerio_dead_letters")
    op.drop_table("customerio_counters")
    op.drop_table("customerio_heartbeats")
    op.drop_table("customerio_alerts")
    op.drop_table("customerio_webhook_events")
