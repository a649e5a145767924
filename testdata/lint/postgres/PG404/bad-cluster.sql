CLUSTER orders USING orders_pkey; -- expect: PG404 warning
