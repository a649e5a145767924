"""merge"""
revision = '5fb0f9d0a111'
down_revision = ('27c6a30d7c24', '3c1d5e8f9a00')
def upgrade():
    pass
def downgrade():
    pass
