"""left branch"""
from alembic import op
revision = '27c6a30d7c24'
down_revision = 'ae1027a6acf0'
def upgrade():
    op.create_index('account_name', 'account', ['name'])
def downgrade():
    op.drop_index('account_name', 'account')
