-- ends at a carriage returnSELECT 1; -- xSELECT 2;
SELECT 3;SELECT 4