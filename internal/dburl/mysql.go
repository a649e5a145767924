package dburl

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The TLS modes of a MySQL URL, as they are kept under the key "tls".
const (
	TLSOff            = "false"           // plain text
	TLSPreferred      = "preferred"       // encrypted if the server can, certificate not checked
	TLSSkipVerify     = "skip-verify"     // encrypted, certificate not checked
	TLSVerifyCA       = "verify-ca"       // certificate checked, its host name not
	TLSVerifyIdentity = "verify-identity" // certificate and host name checked
)

// tlsNames translates go-sql-driver's and MySQL's own words.
var tlsNames = map[string]string{
	"true": TLSVerifyIdentity, "false": TLSOff, "skip-verify": TLSSkipVerify, "preferred": TLSPreferred,
	"disabled": TLSOff, "required": TLSSkipVerify, "verify_ca": TLSVerifyCA, "verify_identity": TLSVerifyIdentity,
	TLSVerifyCA: TLSVerifyCA, TLSVerifyIdentity: TLSVerifyIdentity, "verify-full": TLSVerifyIdentity, // PostgreSQL's word
}

const acceptedTLS = "accepted are true, false, skip-verify, preferred, verify-full, and MySQL's DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"

// mysqlBools are go-sql-driver's switches.
var mysqlBools = []string{
	"allowAllFiles", "allowCleartextPasswords", "allowFallbackToPlaintext", "allowNativePasswords",
	"allowOldPasswords", "checkConnLiveness", "clientFoundRows", "columnsWithAlias", "compress", "interpolateParams",
	"multiStatements", "parseTime", "rejectReadOnly",
}

// mysqlDurations have two names each: Python's drivers give seconds,
// go-sql-driver Go durations. Both notations are taken for both.
var mysqlDurations = map[string]string{
	"connect_timeout": "timeout", "connection_timeout": "timeout", "timeout": "timeout",
	"read_timeout": "readTimeout", "readTimeout": "readTimeout",
	"write_timeout": "writeTimeout", "writeTimeout": "writeTimeout",
}

// mysqlVariables are session variables that may stand in a URL. Each costs
// every new connection its share of one SET statement.
var mysqlVariables = []string{
	"sql_mode", "time_zone", "transaction_isolation", "tx_isolation", "innodb_lock_wait_timeout", "lock_wait_timeout",
	"max_execution_time", "max_statement_time", "wait_timeout", "net_read_timeout", "net_write_timeout",
	"group_concat_max_len", "sql_safe_updates", "foreign_key_checks",
}

// mysqlFiles are the TLS files of Python's drivers.
var mysqlFiles = []string{"ssl_ca", "ssl_cert", "ssl_key"}

// mysqlOther are the keys with a treatment of their own.
var mysqlOther = []string{
	"charset", "collation", "connectionAttributes", "host", "loc", "maxAllowedPacket", "program_name", "ssl", "ssl_check_hostname",
	"ssl_disabled", "ssl_mode", "ssl_verify_cert", "ssl_verify_identity", "timeTruncate", "tls", "unix_socket", "use_unicode",
}

var (
	collationName = regexp.MustCompile(`^[a-z0-9_]+$`)
	plainNumber   = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
)

func mysqlParams(u *URL, _ *secrets, params []param) error {
	var tls mysqlTLS
	for _, p := range params {
		if file := strings.ReplaceAll(p.key, "-", "_"); slices.Contains(mysqlFiles, file) {
			p.key = file // the mysql program writes ssl-ca
		}
		if err := mysqlParam(u, &tls, p); err != nil {
			return err
		}
	}
	if mode := tls.resolve(u.Params["ssl_ca"] != "", u.Params["ssl_cert"] != ""); mode != "" {
		u.Params["tls"] = mode
	}
	if (u.Params["ssl_cert"] == "") != (u.Params["ssl_key"] == "") {
		return errors.New("parameters ssl_cert and ssl_key: one needs the other")
	}
	if len(u.Endpoints) > 1 {
		return errors.New("several hosts are a thing of PostgreSQL; MySQL takes one")
	}
	return nil
}

func mysqlParam(u *URL, tls *mysqlTLS, p param) error {
	if key, ok := mysqlDurations[p.key]; ok {
		d, err := parseDuration(p.value)
		if err != nil {
			return fmt.Errorf("parameter %s: accepted are seconds or a Go duration, such as 10 or 1m30s", p.key)
		}
		u.Params[key] = d.String()
		return nil
	}
	switch {
	case slices.Contains(mysqlBools, p.key):
		on, err := parseBool(p.key, p.value)
		if err != nil {
			return err
		}
		if p.key == "parseTime" && !on {
			return errors.New("parameter parseTime: must be true, times are always read as times")
		}
		u.Params[p.key] = strconv.FormatBool(on)
		return nil
	case slices.Contains(mysqlFiles, p.key):
		u.Params[p.key] = p.value
		return nil
	case slices.Contains(mysqlVariables, p.key):
		value, err := sqlLiteral(p.value)
		if err != nil {
			return fmt.Errorf("parameter %s: accepted are a number or a text without quotes and backslashes", p.key)
		}
		u.Params[p.key] = value
		return nil
	}
	if handled, err := tls.read(p); handled || err != nil {
		return err
	}
	switch p.key {
	case "charset":
		// utf8mb3 is a subset of utf8mb4, so that the old name is safe to take.
		for name := range strings.SplitSeq(strings.ToLower(p.value), ",") {
			if name != "utf8mb4" && name != "utf8" && name != "utf8mb3" {
				return errors.New("parameter charset: accepted is utf8mb4")
			}
		}
	case "collation":
		if !collationName.MatchString(p.value) {
			return errors.New("parameter collation: accepted are names such as utf8mb4_unicode_ci")
		}
		u.Params[p.key] = p.value
	case "unix_socket", "host":
		if p.key == "host" && !strings.HasPrefix(p.value, "/") {
			e, err := newEndpoint(p.value)
			if err != nil {
				return err
			}
			u.Endpoints = []Endpoint{e}
			break
		}
		if !strings.HasPrefix(p.value, "/") {
			return errors.New("parameter unix_socket: accepted is the absolute path of the socket")
		}
		u.Endpoints = []Endpoint{{Socket: p.value}}
	case "loc":
		if _, err := time.LoadLocation(p.value); err != nil {
			return errors.New("parameter loc: accepted are time zones such as UTC or Europe/Berlin")
		}
		u.Params[p.key] = p.value
	case "maxAllowedPacket":
		if n, err := strconv.ParseInt(p.value, 10, 32); err != nil || n < 0 {
			return errors.New("parameter maxAllowedPacket: accepted are bytes, or 0 to ask the server at every connection")
		}
		u.Params[p.key] = p.value
	case "timeTruncate":
		if _, err := time.ParseDuration(p.value); err != nil {
			return errors.New("parameter timeTruncate: accepted are Go durations such as 1us")
		}
		u.Params[p.key] = p.value
	case "connectionAttributes", "program_name":
		u.Params[p.key] = p.value
	case "use_unicode":
		// A switch of Python 2's drivers; Go's strings are always Unicode.
	default:
		return unknownKey("MySQL", p.key, "", slices.Concat(mysqlOther, mysqlBools, mysqlVariables, mysqlFiles,
			slices.Collect(maps.Keys(mysqlDurations))))
	}
	return nil
}

// mysqlTLS gathers the many ways in which drivers spell one decision.
type mysqlTLS struct {
	mode                     string // an explicit mode
	off                      bool
	on                       bool
	verifyCert, verifyHost   bool
	verifyCertSaid, hostSaid bool
}

func (t *mysqlTLS) read(p param) (handled bool, err error) {
	switch p.key {
	case "tls", "ssl_mode", "ssl-mode":
		mode, ok := tlsNames[strings.ToLower(p.value)]
		if !ok {
			on, err := parseBool(p.key, p.value)
			if err != nil {
				return true, fmt.Errorf("parameter %s: %s; a private CA is named by ssl_ca=/path/to/ca.pem", p.key, acceptedTLS)
			}
			mode = tlsNames[strconv.FormatBool(on)]
		}
		t.mode = mode
		return true, nil
	case "ssl", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity", "ssl_check_hostname":
	default:
		return false, nil
	}
	on, err := parseBool(p.key, p.value)
	if err != nil {
		return true, err
	}
	switch p.key {
	case "ssl":
		t.on, t.off = on, !on
	case "ssl_disabled":
		t.off = on
	case "ssl_verify_cert":
		t.verifyCert, t.verifyCertSaid = on, true
	default:
		t.verifyHost, t.hostSaid = on, true
	}
	return true, nil
}

// resolve gives the mode that the parameters mean together. A CA file or a
// wish to verify means verification: the safer reading where drivers differ.
func (t *mysqlTLS) resolve(hasCA, hasCert bool) string {
	switch {
	case t.mode == TLSSkipVerify && hasCA && !t.verifyCertSaid:
		return TLSVerifyCA // MySQL's own REQUIRED with a CA file
	case t.mode != "":
		return t.mode
	case t.off:
		return TLSOff
	case t.verifyCertSaid && !t.verifyCert:
		return TLSSkipVerify
	case (hasCA || t.verifyCert) && t.hostSaid && !t.verifyHost:
		return TLSVerifyCA
	case hasCA || t.verifyCert || t.verifyHost || t.on:
		return TLSVerifyIdentity
	case hasCert:
		return TLSVerifyIdentity
	}
	return ""
}

// sqlLiteral makes a value safe to stand in the driver's SET statement, which
// takes it as SQL.
func sqlLiteral(value string) (string, error) {
	if plainNumber.MatchString(value) {
		return value, nil
	}
	if len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
		value = value[1 : len(value)-1]
	}
	if strings.ContainsAny(value, `'\`) {
		return "", errors.New("quote in a value")
	}
	return "'" + value + "'", nil
}

// parseDuration reads plain seconds or a Go duration, neither negative.
func parseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		d, err = time.ParseDuration(value + "s")
	}
	if err == nil && d < 0 {
		err = errors.New("negative")
	}
	return d, err
}
