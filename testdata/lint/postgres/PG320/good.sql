-- ask: PG320=notice
ALTER TYPE order_state ADD VALUE 'paid' BEFORE 'sent';
