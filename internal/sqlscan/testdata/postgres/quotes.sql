SELECT 'it''s;', E'it\'s;', e'\\', 'no escape\', U&'d\0061t;\+000061', U&"d\0061;t", "x;""y";
SELECT B'10;1', X'1F;', N'x;', namee'x\';
SELECT nameE'x;', E'a\\' 'b\';
SELECT E'a' 'not a continuation\';
SELECT U&'x' UESCAPE '!', u & 1, U & "x";
