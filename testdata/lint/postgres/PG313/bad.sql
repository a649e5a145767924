-- server: error unsafe use of new value
ALTER TYPE order_state ADD VALUE 'lost'; -- expect: PG313 error
UPDATE parcels SET state = 'lost' WHERE id = 1;
