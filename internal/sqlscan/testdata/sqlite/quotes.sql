SELECT 'a;b', 'it''s', "x;""y", [a;'b], `c;``d`;
SELECT x'00ff', X'', 'ends with backslash\';
select';'/';'-";";
