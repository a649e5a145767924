CREATE INDEX CONCURRENTLY orders_with_a_name_that_says_everything_there_is_to_say_about_what_it_is_for ON orders (user_id); -- expect: PG505 error
