SELECT 'a\', "b;""c", 'd''e;', "f\" FROM `g;`;
SELECT "it's";
