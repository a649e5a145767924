/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50001 CREATE VIEW v AS SELECT ';' AS `a;b`*/;
/*! SELECT 1 */;
CREATE TABLE t (a int) /*!50100 PARTITION BY HASH (a) /* inner; */ */;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW
BEGIN
  SET NEW.a = 1; SET NEW.a = 2;
END */;
/*!*/;
/*!99999 it's never run; */;
/*!999999 it's /* nor; */ this's; */;
/*M! it is a comment's; for MySQL */;
SELECT /*!80000 1,*/ 2;
/*!50003 SET @a = 1 */ /*!50003 , @b = 2 */;
/*!100100 it's MariaDB's; */;
SELECT 3;
