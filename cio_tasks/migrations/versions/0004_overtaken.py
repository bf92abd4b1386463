"""What was confirmed during a claim that got lost: the token of the claim that a newer version has overtaken.

The column is empty at first and may stay so, hence the table is not rewritten, and what ran before goes on running beside
what needs it: an empty one means what it did until now, that the cleanup does not know.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("signup_customerio_sync_jobs", sa.Column("overtaken_token", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("signup_customerio_sync_jobs", "overtaken_token")
