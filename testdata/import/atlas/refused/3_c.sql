-- atlas:delimiter GO

SELECT 1 GO
