"""add mail"""
from alembic import op
import sqlalchemy as sa
revision = 'ae1027a6acf0'
down_revision = '1975ea83b712'
def upgrade():
    op.add_column('account', sa.Column('mail', sa.Unicode(200)))
    op.execute("UPDATE account SET mail = 'a@b.c'")
def downgrade():
    op.drop_column('account', 'mail')
