package deploytest

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"   // the versions of Deployment, and its defaults
	_ "k8s.io/kubernetes/pkg/apis/batch/install"  // of Job
	_ "k8s.io/kubernetes/pkg/apis/core/install"   // of Service, ServiceAccount and Pod
	_ "k8s.io/kubernetes/pkg/apis/policy/install" // of PodDisruptionBudget
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// variants are the folders that a reader applies.
var variants = []string{"at-boot", "init-container", "job"}

// strategies are what the API server does with a new object of a kind: it fills in what is left out,
// and judges.
var strategies = map[schema.GroupVersionKind]rest.RESTCreateStrategy{
	appsv1.SchemeGroupVersion.WithKind("Deployment"):            deployment.Strategy,
	batchv1.SchemeGroupVersion.WithKind("Job"):                  job.Strategy,
	corev1.SchemeGroupVersion.WithKind("Service"):               service.Strategy,
	corev1.SchemeGroupVersion.WithKind("ServiceAccount"):        serviceaccount.Strategy,
	policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"): poddisruptionbudget.Strategy,
}

// decode reads an object as the API server does for a client that asks for strict validation: a field
// that there is not, or that is there twice, is an error. Defaults are filled in.
func decode(t *testing.T, what string, text []byte) (runtime.Object, schema.GroupVersionKind) {
	t.Helper()
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	obj, gvk, err := codecs.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, text)
	}
	legacyscheme.Scheme.Default(obj)
	return obj, *gvk
}

// render builds a folder as `kubectl apply -k` does.
func render(t *testing.T, variant string) []runtime.Object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), examples+"/kubernetes/"+variant)
	if err != nil {
		t.Fatal(err)
	}
	var objects []runtime.Object
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		obj, _ := decode(t, variant+"/"+r.GetKind(), text)
		objects = append(objects, obj)
	}
	return objects
}

// create passes an object through what the API server does before it stores a new one.
func create(obj runtime.Object, gvk schema.GroupVersionKind) (warnings []string, err error) {
	strategy, ok := strategies[gvk]
	if !ok {
		return nil, fmt.Errorf("no strategy for %s is known to the test", gvk)
	}
	internal, err := legacyscheme.Scheme.ConvertToVersion(obj, schema.GroupVersion{Group: gvk.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(internal)
	if err != nil {
		return nil, err
	}
	m.SetNamespace("tldw")
	rest.FillObjectMetaSystemFields(m)
	ctx := request.WithNamespace(context.Background(), "tldw")
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Verb: "create", APIGroup: gvk.Group, APIVersion: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"})
	if err := rest.BeforeCreate(strategy, ctx, internal); err != nil {
		return nil, err
	}
	return strategy.WarningsOnCreate(ctx, internal), nil
}

func TestKubernetesTakesTheManifests(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			for _, obj := range render(t, variant) {
				gvk := obj.GetObjectKind().GroupVersionKind()
				warnings, err := create(obj, gvk)
				if err != nil {
					t.Errorf("%s: %v", gvk.Kind, err)
				}
				for _, w := range warnings {
					t.Errorf("%s: the server would warn: %s", gvk.Kind, w)
				}
			}
		})
	}
}

// Kustomize forgives a field that is there twice, or one that a patch misspells and another file
// corrects. So each file is read by itself as well, the patches too: they are parts of an object.
func TestKubernetesFilesAreStrict(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(examples + "/kubernetes/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue // Kustomize is strict with its own
		}
		found++
		decode(t, file, []byte(read(t, file)))
	}
	if found == 0 {
		t.Error("no files were found")
	}
}

// The test of the test: what is wrong in the ways that people get manifests wrong is refused.
func TestKubernetesRefusesAFaultyManifest(t *testing.T) {
	t.Parallel()
	text := read(t, examples+"/kubernetes/job/job.yaml")
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	for _, tt := range []struct{ name, old, new, want string }{
		{"a misspelt field", "backoffLimit", "backofLimit", "unknown field"},
		{"a field that is there twice", "  backoffLimit: 3", "  backoffLimit: 3\n  backoffLimit: 4", "already set"},
		{"a wrong type", "backoffLimit: 3", "backoffLimit: three", "backoffLimit"},
		{"a wrong quantity", "64Mi", "64MB of it", "quantities"},
		{"a policy that no Job has", "restartPolicy: Never", "restartPolicy: Always", "restartPolicy"},
		{"a limit below the request", "memory: 256Mi", "memory: 16Mi", "memory limit"},
		{"a volume that is not there", "name: database-migrate\n          secret", "name: database\n          secret", "volumeMounts[0].name"},
		{"a container that is not there", "containerName: migrate", "containerName: migrator", "containerName"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(text, tt.old) {
				t.Fatalf("the manifest has no %q", tt.old)
			}
			obj, gvk, err := codecs.UniversalDeserializer().Decode([]byte(strings.Replace(text, tt.old, tt.new, 1)), nil, nil)
			if err == nil {
				legacyscheme.Scheme.Default(obj)
				_, err = create(obj, *gvk)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the server says %v, and should name %q", err, tt.want)
			}
		})
	}
}

// pod is a pod template and where it is from.
type pod struct {
	kind     string
	template corev1.PodTemplateSpec
}

func pods(objects []runtime.Object) []pod {
	var list []pod
	for _, obj := range objects {
		switch o := obj.(type) {
		case *appsv1.Deployment:
			list = append(list, pod{"Deployment", o.Spec.Template})
		case *batchv1.Job:
			list = append(list, pod{"Job", o.Spec.Template})
		}
	}
	return list
}

// containers lists the containers of a pod as the other tests see them.
func (p pod) containers(t *testing.T) []container {
	t.Helper()
	secrets := map[string]string{}
	for _, v := range p.template.Spec.Volumes {
		if v.Secret == nil {
			t.Errorf("%s: the volume %s is no secret", p.kind, v.Name)
			continue
		}
		secrets[v.Name] = v.Secret.SecretName
	}
	var list []container
	for _, k := range slices.Concat(p.template.Spec.InitContainers, p.template.Spec.Containers) {
		image, tag, ok := strings.Cut(path.Base(k.Image), ":")
		if !ok || tag == "latest" {
			t.Errorf("%s %s: the image %s has no tag that names a release", p.kind, k.Name, k.Image)
		}
		c := container{name: p.kind + " " + k.Name, image: image, args: k.Args, env: map[string]string{}, files: map[string]string{}}
		for _, e := range k.Env {
			c.env[e.Name] = e.Value
		}
		for _, m := range k.VolumeMounts {
			if !m.ReadOnly {
				t.Errorf("%s: %s may be written to", c.name, m.MountPath)
			}
			c.files[path.Join(m.MountPath, secretKey)] = secrets[m.Name]
		}
		list = append(list, c)
	}
	return list
}

// secretKey is the key of the URL in both secrets.
const secretKey = "url"

func TestKubernetesPodsAreRestricted(t *testing.T) {
	t.Parallel()
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, variant := range variants {
		for _, p := range pods(render(t, variant)) {
			what := variant + "/" + p.kind
			spec := p.template.Spec
			level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
			if r := policy.AggregateCheckResults(judge.EvaluatePod(level, &p.template.ObjectMeta, &spec)); !r.Allowed {
				t.Errorf("%s: the restricted standard forbids it: %s", what, r.ForbiddenDetail())
			}
			// What that standard leaves open.
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
				t.Errorf("%s: the pod gets a token for the cluster", what)
			}
			if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
				t.Errorf("%s: the pod gets variables of the namespace's services", what)
			}
			if s := spec.SecurityContext; *s.RunAsUser != user || *s.RunAsGroup != user || *s.FSGroup != user {
				t.Errorf("%s: user %d, group %d, group of the files %d: all have to be the image's %d", what, *s.RunAsUser, *s.RunAsGroup, *s.FSGroup, user)
			}
			for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
				if s := c.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
					t.Errorf("%s %s: the root file system may be written to", what, c.Name)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s %s: requests and the limit of memory are not all set", what, c.Name)
				}
			}
			for _, v := range spec.Volumes {
				if v.Secret != nil && *v.Secret.DefaultMode != 0o440 {
					t.Errorf("%s: the secret %s has the mode %o", what, v.Secret.SecretName, *v.Secret.DefaultMode)
				}
			}
		}
	}
}

func TestKubernetesSettingsAreRead(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		for _, p := range pods(render(t, variant)) {
			for _, c := range p.containers(t) {
				checkSettings(t, c)
			}
		}
	}
}

// Who may change the schema is the point of the three folders.
func TestKubernetesRights(t *testing.T) {
	t.Parallel()
	want := map[string]map[string][]string{
		"at-boot":        {"Deployment service": {"tldw-database", "tldw-database-migrate"}},
		"init-container": {"Deployment migrate": {"tldw-database-migrate"}, "Deployment service": {"tldw-database"}},
		"job":            {"Job migrate": {"tldw-database-migrate"}, "Deployment wait": {"tldw-database"}, "Deployment service": {"tldw-database"}},
	}
	for _, variant := range variants {
		got := map[string][]string{}
		for _, p := range pods(render(t, variant)) {
			for _, c := range p.containers(t) {
				got[c.name] = slices.Sorted(maps.Values(c.files))
			}
		}
		if !maps.EqualFunc(got, want[variant], slices.Equal) {
			t.Errorf("%s: the containers have the secrets %v, and should have %v", variant, got, want[variant])
		}
	}
	made := regexp.MustCompile(`kubectl create secret generic (\S+) --from-file=(\S+?)=`).FindAllStringSubmatch(read(t, examples+"/kubernetes/README.md"), -1)
	var names []string
	for _, m := range made {
		names = append(names, m[1])
		if m[2] != secretKey {
			t.Errorf("README.md makes the secret %s with the key %s; the manifests read %s", m[1], m[2], secretKey)
		}
	}
	if !slices.Equal(names, []string{"tldw-database", "tldw-database-migrate"}) {
		t.Errorf("README.md makes the secrets %v", names)
	}
}

// Labels and ports are what the API server cannot check, because each is right by itself.
func TestKubernetesObjectsFindEachOther(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		objects := render(t, variant)
		var selectors []labels.Selector
		var ports []intstr.IntOrString
		accounts := []string{}
		lacking := []string{"Service", "PodDisruptionBudget", "ServiceAccount"}
		for _, obj := range objects {
			lacking = slices.DeleteFunc(lacking, func(kind string) bool { return kind == obj.GetObjectKind().GroupVersionKind().Kind })
			switch o := obj.(type) {
			case *corev1.Service:
				selectors = append(selectors, labels.SelectorFromSet(o.Spec.Selector))
				for _, p := range o.Spec.Ports {
					ports = append(ports, p.TargetPort)
				}
			case *corev1.ServiceAccount:
				accounts = append(accounts, o.Name)
			case *policyv1.PodDisruptionBudget:
				s, err := metav1.LabelSelectorAsSelector(o.Spec.Selector)
				if err != nil {
					t.Fatal(err)
				}
				selectors = append(selectors, s)
			}
		}
		if len(lacking) > 0 {
			t.Errorf("%s: there is no %s", variant, strings.Join(lacking, ", "))
		}
		for _, p := range pods(objects) {
			if !slices.Contains(accounts, p.template.Spec.ServiceAccountName) {
				t.Errorf("%s/%s: the service account %s is not made", variant, p.kind, p.template.Spec.ServiceAccountName)
			}
			for _, s := range selectors {
				if found := s.Matches(labels.Set(p.template.Labels)); found != (p.kind == "Deployment") {
					t.Errorf("%s: does %s find the pods of the %s? %v", variant, s, p.kind, found)
				}
			}
			if p.kind != "Deployment" {
				continue
			}
			c := p.template.Spec.Containers[0]
			ports := append(slices.Clone(ports), c.LivenessProbe.HTTPGet.Port, c.ReadinessProbe.HTTPGet.Port)
			for _, want := range ports {
				if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == want.StrVal }) {
					t.Errorf("%s: no port is called %q", variant, want.StrVal)
				}
			}
			if listens := fmt.Sprintf(":%d", c.Ports[0].ContainerPort); !slices.Contains(c.Args, listens) {
				t.Errorf("%s: the port is %s, and the arguments are %q", variant, listens, c.Args)
			}
		}
	}
}

// The limits that have to fit each other.
func TestKubernetesTimes(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		for _, obj := range render(t, variant) {
			var limit time.Duration
			switch o := obj.(type) {
			case *appsv1.Deployment:
				limit = time.Duration(*o.Spec.ProgressDeadlineSeconds) * time.Second
			case *batchv1.Job:
				limit = time.Duration(*o.Spec.ActiveDeadlineSeconds) * time.Second
			default:
				continue
			}
			for _, c := range pods([]runtime.Object{obj})[0].containers(t) {
				wait, err := time.ParseDuration(c.env["TLDWDB_LOCK_WAIT"])
				if err != nil {
					t.Errorf("%s %s: TLDWDB_LOCK_WAIT: %v", variant, c.name, err)
				}
				if wait >= limit {
					t.Errorf("%s %s: it may wait for %v, and is given up after %v", variant, c.name, wait, limit)
				}
			}
		}
	}
}

// The container of the Deployment is started as the manifest says, and asked what the kubelet asks.
func TestKubernetesServiceAnswersItsProbes(t *testing.T) {
	t.Parallel()
	var spec corev1.Container
	for _, obj := range render(t, "at-boot") {
		if d, ok := obj.(*appsv1.Deployment); ok {
			spec = d.Spec.Template.Spec.Containers[0]
		}
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "service")
	command(t.Context(), t, root, nil, "go", "build", "-o", program, "./examples/service")
	// The port is the machine's to choose, and the database a file; all else is the manifest's.
	args := slices.Clone(spec.Args)
	for i := range args {
		args[i] = strings.Replace(args[i], fmt.Sprintf(":%d", spec.Ports[0].ContainerPort), "127.0.0.1:0", 1)
	}
	env := []string{"DATABASE_URL=sqlite:///" + filepath.ToSlash(filepath.Join(dir, "tldw.db"))}
	for _, e := range spec.Env {
		if !strings.HasSuffix(e.Name, "_FILE") {
			env = append(env, e.Name+"="+e.Value)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(prefix string) string {
		t.Helper()
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), prefix) {
			t.Fatalf("the service says %q, and not %q…", lines.Text(), prefix)
		}
		return strings.TrimPrefix(lines.Text(), prefix)
	}
	address := next("listening on ")
	get := func(probe *corev1.Probe) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+probe.HTTPGet.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		return res.StatusCode
	}
	if code := get(spec.LivenessProbe); code != http.StatusOK {
		t.Errorf("liveness is %d", code)
	}
	next("ready after ")
	if code := get(spec.ReadinessProbe); code != http.StatusOK {
		t.Errorf("readiness is %d", code)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
