"""create account"""
from alembic import op
import sqlalchemy as sa
revision = '1975ea83b712'
down_revision = None
def upgrade():
    t = op.create_table('account', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.String(50), nullable=False))
    op.bulk_insert(t, [{'id': 1, 'name': "O'Brien; -- x"}])
def downgrade():
    op.drop_table('account')
