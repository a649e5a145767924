package dialect

import "slices"

// Refused reports whether an error means that the account lacks a right. MySQL and
// MariaDB say so too of a table that is not there, to an account without a right
// on the whole database.
func Refused(err error) bool {
	return pgCode(err) == "42501" || slices.Contains([]uint16{1044, 1142, 1143, 1227, 1370}, mysqlNumber(err))
}
