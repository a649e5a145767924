package deploytest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose loads the file as Compose does: against the schema of the specification, in which an unknown
// key is an error, with anchors, defaults and cross references resolved. No variable of the machine is
// seen.
func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.FromSlash(examples + "/compose/compose.yaml")}, cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeProfiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		profiles []string
		want     []string
	}{
		{nil, []string{"migrate", "postgres", "service"}},
		{[]string{"mariadb"}, []string{"mariadb", "migrate", "migrate-mariadb", "postgres", "service", "service-mariadb"}},
	} {
		names := compose(t, tt.profiles...).ServiceNames()
		slices.Sort(names)
		if !slices.Equal(names, tt.want) {
			t.Errorf("with the profiles %q there are %q", tt.profiles, names)
		}
	}
}

// The order is what the file is for: no service starts before its schema is there, and a step that
// failed is not started over until somebody has seen it.
func TestComposeOrder(t *testing.T) {
	t.Parallel()
	services := compose(t, "mariadb").Services
	for _, suffix := range []string{"", "-mariadb"} {
		database := "postgres"
		if suffix != "" {
			database = "mariadb"
		}
		migrate, service := services["migrate"+suffix], services["service"+suffix]
		if d := service.DependsOn["migrate"+suffix]; d.Condition != types.ServiceConditionCompletedSuccessfully || !d.Required {
			t.Errorf("service%s waits for its step with %+v", suffix, d)
		}
		if d := migrate.DependsOn[database]; d.Condition != types.ServiceConditionHealthy || !d.Required {
			t.Errorf("migrate%s waits for %s with %+v", suffix, database, d)
		}
		if services[database].HealthCheck == nil || len(services[database].HealthCheck.Test) < 2 {
			t.Errorf("%s has no test of its health", database)
		}
		if migrate.Restart != types.RestartPolicyNo {
			t.Errorf("migrate%s is restarted: %q", suffix, migrate.Restart)
		}
		if migrate.Environment["DATABASE_URL"] == nil || *migrate.Environment["DATABASE_URL"] != *service.Environment["DATABASE_URL"] {
			t.Errorf("migrate%s and service%s have different databases", suffix, suffix)
		}
		// Host, user and database of the URL are those of the server's container.
		prefix := strings.ToUpper(database)
		value := func(name string) string {
			if v := services[database].Environment[prefix+"_"+name]; v != nil {
				return *v
			}
			return ""
		}
		name := value("DB") + value("DATABASE")
		if url := *service.Environment["DATABASE_URL"]; !strings.Contains(url, "://"+value("USER")+"@"+database+":") || !strings.Contains(url, "/"+name+"?") {
			t.Errorf("service%s: the URL %s is not of %s, user %s, database %s", suffix, url, database, value("USER"), name)
		}
	}
}

func TestComposePrograms(t *testing.T) {
	t.Parallel()
	project := compose(t, "mariadb")
	secret := project.Secrets["database_password"]
	if secret.File == "" {
		// A secret from a variable is copied into the container, which a read-only file system refuses.
		t.Error("the password is in no file")
	}
	for name, s := range project.Services {
		if !strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: the image %s has no tag that names a release", name, s.Image)
		}
		if s.Privileged || len(s.CapAdd) > 0 {
			t.Errorf("%s has more rights than a container has", name)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s is open to the network: %+v", name, p)
			}
		}
		if s.Build == nil {
			continue
		}
		if !slices.Contains(targets, s.Build.Target) {
			t.Errorf("%s: the Dockerfile has no target %s", name, s.Build.Target)
		}
		if file := filepath.Join(s.Build.Context, s.Build.Dockerfile); !sameFile(t, file, dockerfile) {
			t.Errorf("%s is built from %s", name, file)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read-only %v, dropped %v, options %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		c := container{name: name, env: map[string]string{}, files: map[string]string{}}
		for key, value := range s.Environment {
			c.env[key] = *value
		}
		for _, secret := range s.Secrets {
			c.files["/run/secrets/"+secret.Source] = secret.Source
		}
		checkSettings(t, c)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	first, err := filepath.Abs(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := filepath.Abs(b)
	if err != nil {
		t.Fatal(err)
	}
	return first == second
}
