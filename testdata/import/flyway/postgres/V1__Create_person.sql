CREATE TABLE ${schema}.person (id serial, name text DEFAULT '${Default.Name}'); -- ${unknown} in a comment
