package dburl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Any parameter that is not read here goes to the server as a setting of the
// session (search_path=app, TimeZone=UTC), as libpq and pgx do it. So those of
// other drivers must be stopped: the server's own words, "unrecognized
// configuration parameter", would help nobody.
var postgresForeign = map[string]string{
	"ApplicationName":               "write application_name instead",
	"async_fallback":                "not supported by this driver",
	"connection_limit":              "set the size of the pool by TLDWDB_POOL_SIZE",
	"currentSchema":                 "write search_path=name instead",
	"executemany_mode":              "not supported by this driver",
	"gsslib":                        "not supported by this driver",
	"hostaddr":                      "write the address as the host",
	"keepalives":                    "not settable here: TCP keepalives are always on",
	"keepalives_count":              "not settable here: TCP keepalives are always on",
	"keepalives_idle":               "not settable here: TCP keepalives are always on",
	"keepalives_interval":           "not settable here: TCP keepalives are always on",
	"load_balance_hosts":            "not supported by this driver: hosts are tried in the order given",
	"pgbouncer":                     "write default_query_exec_mode=exec for a pooler in transaction mode",
	"pool_max_conns":                "set the size of the pool by TLDWDB_POOL_SIZE",
	"pool_timeout":                  "set it by TLDWDB_POOL_TIMEOUT",
	"prepared_statement_cache_size": "write statement_cache_capacity instead",
	"replication":                   "a replication connection cannot run migrations",
	"requirepeer":                   "not supported by this driver",
	"schema":                        "write search_path=name instead",
	"ssl_max_protocol_version":      "not supported by this driver, which speaks TLS 1.2 and newer",
	"ssl_min_protocol_version":      "not supported by this driver, which speaks TLS 1.2 and newer",
	"sslcompression":                "not supported by this driver",
	"sslcrl":                        "not supported by this driver",
	"sslcrldir":                     "not supported by this driver",
	"targetServerType":              "write target_session_attrs instead",
	"tcp_user_timeout":              "not supported by this driver",
}

// postgresChoices are the parameters with a closed list of values.
var postgresChoices = map[string][]string{
	"sslmode":                 {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"target_session_attrs":    {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
	"channel_binding":         {"disable", "prefer", "require"},
	"sslnegotiation":          {"postgres", "direct"},
	"sslcertmode":             {"disable", "allow", "require"},
	"default_query_exec_mode": {"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"},
}

func postgresParams(u *URL, s *secrets, params []param) error {
	var hosts, ports []string
	fallbackName := ""
	for _, p := range params {
		if hint, ok := postgresForeign[p.key]; ok {
			return unknownKey("PostgreSQL", p.key, hint, nil)
		}
		if p.key == "ssl" { // asyncpg's name for sslmode, and JDBC's switch
			p.key = "sslmode"
			if p.value == "true" {
				p.value = "require"
			}
		}
		if choices, ok := postgresChoices[p.key]; ok && !slices.Contains(choices, p.value) {
			return fmt.Errorf("parameter %s: accepted are %s", p.key, strings.Join(choices, ", "))
		}
		switch p.key {
		case "host": // SQLAlchemy repeats the key, libpq writes a list
			hosts = append(hosts, strings.Split(p.value, ",")...)
		case "port":
			ports = append(ports, strings.Split(p.value, ",")...)
		case "user":
			u.User = p.value
		case "password":
			s.password, s.hasPassword = p.value, true
		case "sslpassword":
			s.params[p.key] = p.value
		case "dbname", "database":
			u.Database = p.value
		case "fallback_application_name":
			fallbackName = p.value
		case "gssencmode":
			if p.value == "require" {
				return errors.New("parameter gssencmode: GSS encryption is not supported by this driver; accepted are disable and prefer")
			}
		case "client_encoding":
			if name := strings.ToLower(strings.ReplaceAll(p.value, "-", "")); name != "utf8" && name != "auto" {
				return errors.New("parameter client_encoding: accepted is utf8")
			}
		case "connect_timeout":
			if n, err := strconv.Atoi(p.value); err != nil || n < 0 {
				return errors.New("parameter connect_timeout: accepted are whole seconds")
			}
			u.Params[p.key] = p.value
		default:
			u.Params[p.key] = p.value
		}
	}
	if _, ok := u.Params["application_name"]; !ok && fallbackName != "" {
		u.Params["application_name"] = fallbackName
	}
	return postgresEndpoints(u, hosts, ports)
}

// postgresEndpoints joins the host and port parameters, which go before the
// host of the URL itself. One port serves all hosts.
func postgresEndpoints(u *URL, hosts, ports []string) error {
	if len(hosts) > 0 {
		u.Endpoints = nil
		for _, h := range hosts {
			e, err := newEndpoint(h)
			if err != nil {
				return err
			}
			u.Endpoints = append(u.Endpoints, e)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	if len(u.Endpoints) == 0 {
		u.Endpoints = []Endpoint{{}}
	}
	if len(ports) != 1 && len(ports) != len(u.Endpoints) {
		return fmt.Errorf("%d ports for %d hosts: give one port, or one for each host", len(ports), len(u.Endpoints))
	}
	for i := range u.Endpoints {
		port := ports[min(i, len(ports)-1)]
		if port == "" || u.Endpoints[i].Port != 0 {
			continue
		}
		var err error
		if u.Endpoints[i].Port, err = parsePort(port); err != nil {
			return err
		}
	}
	return nil
}
