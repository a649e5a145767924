/*M!999999\- enable the sandbox mode */
/*M!100100 SELECT ';' */;
/*!50700 it's not for MariaDB; */;
/*!100100 SELECT 1 */;
/*!50699 SELECT 2 */;
SELECT 3;
