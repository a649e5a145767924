-- server: not run, it takes a superuser
ALTER TABLE orders DISABLE TRIGGER ALL; -- expect: PG412 error
