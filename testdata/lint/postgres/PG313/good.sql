ALTER TYPE order_state ADD VALUE 'lost';
-- next file
UPDATE parcels SET state = 'lost' WHERE id = 1;
