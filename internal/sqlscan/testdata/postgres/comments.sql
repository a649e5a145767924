/* a /* nested; */ still; */ SELECT 1 /* x /*/**/*/ */;
-- SELECT 0;
SELECT 2 --; comment
+ 3;
SELECT 4 */**/ 5, 6 +--;
7, @-1, 8 */* ; */ 9;
/**/;/***/;/* // */
