SELECT E'a' -- goes on
  'b\';';
SELECT E'a'

	-- and
  'b\';' 'c';
SELECT E'a' /* not */
  'b\';
