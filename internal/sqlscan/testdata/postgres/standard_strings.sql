SELECT 'a\';
SET standard_conforming_strings = off;
SELECT 'it\'s;', 'a\\', E'x\'', B'1', U&'\';
SET SESSION standard_conforming_strings TO 'on';
SELECT 'a\';
set local standard_conforming_strings to off;
SELECT 'b\';';
RESET standard_conforming_strings;
SELECT 'c\';
