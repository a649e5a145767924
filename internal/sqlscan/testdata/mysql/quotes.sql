SELECT 'it\'s;', 'it''s', "x\";", "y"";", `a;``b`, 'a\\';
SELECT N'x\';', n'y', x'00', b'101', X'ff', _utf8mb4'z;', _binary 'q\';';
SELECT "it's", 'say "x;"', \N;
