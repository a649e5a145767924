"""right branch, outside of a transaction"""
import os
from alembic import op
revision = '3c1d5e8f9a00'
down_revision = 'ae1027a6acf0'
def upgrade():
    if op.get_context().dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            op.create_index('account_mail', 'account', ['mail'], postgresql_concurrently=True)
    else:
        op.create_index('account_mail', 'account', ['mail'])
def downgrade():
    op.drop_index('account_mail', 'account')
