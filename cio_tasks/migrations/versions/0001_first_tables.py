"""First tables: customers, signups, sync jobs, attempts, dead letters, audit, gate, idempotency keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "customerio_gate",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_probes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("probing_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "reason = 'operator' OR closed_at IS NULL OR closed_until IS NOT NULL",
            name=op.f("ck_customerio_gate_closed_has_end"),
        ),
        sa.CheckConstraint(
            "reason IN ('outage', 'rate_limit', 'auth', 'operator')", name=op.f("ck_customerio_gate_reason_known")
        ),
        sa.CheckConstraint(
            "closed_at IS NOT NULL OR closed_until IS NULL", name=op.f("ck_customerio_gate_only_closed_has_end")
        ),
        sa.PrimaryKeyConstraint("reason", name=op.f("pk_customerio_gate")),
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.create_index(
        "ix_customers_search",
        "customers",
        [sa.literal_column("lower((((first_name || ' ') || last_name) || ' ') || email)").label("searched")],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"searched": "gin_trgm_ops"},
    )
    op.create_index("uq_customers_email", "customers", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_for_prune", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "signups",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("bet_amount", sa.Numeric(precision=12, scale=2), nullable=True),
        sa.Column("team_bet_on", sa.Text(), nullable=True),
        sa.Column("odds", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("extraction_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("extraction_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("customerio_synced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("customerio_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customerio_contact_id", sa.Text(), nullable=True),
        sa.Column("customerio_sync_failed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("customerio_sync_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(extraction_version = 0) = (extraction_confirmed_at IS NULL)",
            name=op.f("ck_signups_confirmed_has_confirmed_at"),
        ),
        sa.CheckConstraint(
            "NOT customerio_synced OR (customerio_synced_at IS NOT NULL AND customerio_contact_id IS NOT NULL)",
            name=op.f("ck_signups_synced_has_synced_at_and_contact"),
        ),
        sa.CheckConstraint("bet_amount > 0", name=op.f("ck_signups_bet_amount_positive")),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_signups_confidence_from_0_to_1")),
        sa.CheckConstraint(
            "customerio_sync_failed OR customerio_sync_error IS NULL",
            name=op.f("ck_signups_only_failed_has_sync_error"),
        ),
        sa.CheckConstraint(
            "extraction_version = 0 OR num_nonnulls(bet_amount, team_bet_on, odds, confidence) = 4",
            name=op.f("ck_signups_confirmed_has_bet_slip"),
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_signups_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signups")),
        sa.UniqueConstraint("external_id", name=op.f("uq_signups_external_id")),
    )
    op.create_index("ix_signups_of_customer", "signups", ["customer_id"], unique=False)
    op.create_table(
        "signup_customerio_sync_jobs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("signup_id", sa.Uuid(), nullable=False),
        sa.Column("sync_phase", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("next_retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("mock", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("manual_retry", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("payload_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("claim_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "claimed_by IS NULL OR status = 'processing'",
            name=op.f("ck_signup_customerio_sync_jobs_only_processing_is_claimed"),
        ),
        sa.CheckConstraint(
            "completed_at IS NULL OR status = 'completed'",
            name=op.f("ck_signup_customerio_sync_jobs_only_completed_has_completed_at"),
        ),
        sa.CheckConstraint(
            "error_type IN ('rate_limit', 'server_error', 'network', 'other') OR error_type IS NULL",
            name=op.f("ck_signup_customerio_sync_jobs_error_type_known"),
        ),
        sa.CheckConstraint(
            "status <> 'completed' OR error_type IS NULL",
            name=op.f("ck_signup_customerio_sync_jobs_completed_has_no_error"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'completed', 'failed')",
            name=op.f("ck_signup_customerio_sync_jobs_status_known"),
        ),
        sa.CheckConstraint(
            "sync_phase IN ('initial', 'enriched')", name=op.f("ck_signup_customerio_sync_jobs_sync_phase_known")
        ),
        sa.CheckConstraint(
            "attempt_count BETWEEN 0 AND max_attempts",
            name=op.f("ck_signup_customerio_sync_jobs_attempt_count_within_max"),
        ),
        sa.CheckConstraint("payload_version > 0", name=op.f("ck_signup_customerio_sync_jobs_payload_version_positive")),
        sa.ForeignKeyConstraint(["signup_id"], ["signups.id"], name=op.f("fk_signup_customerio_sync_jobs_signup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signup_customerio_sync_jobs")),
    )
    op.create_index(
        "ix_sync_jobs_for_claim",
        "signup_customerio_sync_jobs",
        [sa.literal_column("(coalesce(next_retry_at, created_at))"), "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_sync_jobs_for_failures",
        "signup_customerio_sync_jobs",
        [sa.literal_column("attempt_count DESC"), sa.literal_column("last_attempt_at DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("status = 'failed'"),
    )
    op.create_index(
        "ix_sync_jobs_for_stuck",
        "signup_customerio_sync_jobs",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("status = 'processing'"),
    )
    op.create_index(
        "uq_sync_jobs_one_per_signup_and_phase", "signup_customerio_sync_jobs", ["signup_id", "sync_phase"], unique=True
    )
    op.create_table(
        "audit_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("signup_id", sa.Uuid(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["signup_customerio_sync_jobs.id"], name=op.f("fk_audit_logs_job_id")),
        sa.ForeignKeyConstraint(["signup_id"], ["signups.id"], name=op.f("fk_audit_logs_signup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_logs")),
    )
    op.create_index("ix_audit_logs_of_job", "audit_logs", ["job_id", "id"], unique=False)
    op.create_index("ix_audit_logs_of_signup", "audit_logs", ["signup_id", "id"], unique=False)
    op.create_table(
        "customerio_dead_letters",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("signup_id", sa.Uuid(), nullable=False),
        sa.Column("sync_phase", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("exhausted_retries", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "error_type IN ('rate_limit', 'server_error', 'network', 'other')",
            name=op.f("ck_customerio_dead_letters_error_type_known"),
        ),
        sa.CheckConstraint(
            "(resolved_at IS NULL) = (resolution IS NULL)",
            name=op.f("ck_customerio_dead_letters_resolved_has_resolution"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["signup_customerio_sync_jobs.id"], name=op.f("fk_customerio_dead_letters_job_id")
        ),
        sa.ForeignKeyConstraint(["signup_id"], ["signups.id"], name=op.f("fk_customerio_dead_letters_signup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customerio_dead_letters")),
    )
    op.create_index("ix_dead_letters_of_signup", "customerio_dead_letters", ["signup_id"], unique=False)
    op.create_index(
        "uq_dead_letters_one_unresolved_per_job",
        "customerio_dead_letters",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "customerio_sync_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("claim_token", sa.BigInteger(), nullable=False),
        sa.Column("retry", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("batch_size", sa.Integer(), nullable=True),
        sa.Column("mock", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("next_retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "error_type IN ('rate_limit', 'server_error', 'network', 'other') OR error_type IS NULL",
            name=op.f("ck_customerio_sync_attempts_error_type_known"),
        ),
        sa.CheckConstraint(
            "outcome IN ('delivered', 'retry_later', 'rejected', 'released', 'worker_lost')",
            name=op.f("ck_customerio_sync_attempts_outcome_known"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["signup_customerio_sync_jobs.id"],
            name=op.f("fk_customerio_sync_attempts_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customerio_sync_attempts")),
    )
    op.create_index("ix_sync_attempts_for_error_rate", "customerio_sync_attempts", ["finished_at"], unique=False)
    op.create_index(
        "uq_sync_attempts_one_per_claim", "customerio_sync_attempts", ["job_id", "claim_token"], unique=True
    )


def downgrade() -> None:
    op.drop_table("customerio_sync_attempts")
    op.drop_table("customerio_dead_letters")
    op.drop_table("audit_logs")
    op.drop_table("signup_customerio_sync_jobs")
    op.drop_table("signups")
    op.drop_table("idempotency_keys")
    op.drop_table("customers")
    op.drop_table("customerio_gate")
