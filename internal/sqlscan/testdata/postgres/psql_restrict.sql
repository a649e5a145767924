\restrict abc123
SELECT 1;
\unrestrict abc123
