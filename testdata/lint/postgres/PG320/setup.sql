CREATE TYPE order_state AS ENUM ('new', 'sent');
