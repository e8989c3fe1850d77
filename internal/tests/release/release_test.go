// Package release proves that what a tag of this repository publishes can be fetched and built by others.
package release

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// version is the tag that the nested modules require of the root and of each other.
const version = "v0.1.0"

// TestModulesResolveFromAProxy publishes every module of the repository in a module proxy made of files, as a tag would,
// and uses them from a module elsewhere: without go.work and without a replace directive.
func TestModulesResolveFromAProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the lag monitor from empty caches")
	}
	t.Parallel()
	root := goOutput(t, ".", nil, "list", "-m", "-f", "{{.Dir}}", "github.com/lagkeeper/storage")
	proxy := t.TempDir()
	for _, module := range modulesBelow(t, root) {
		publish(t, proxy, root, module)
	}

	var known struct{ GOMODCACHE, GOPROXY string }
	require.NoError(t, json.Unmarshal([]byte(goOutput(t, ".", nil, "env", "-json", "GOMODCACHE", "GOPROXY")), &known))
	fileURL := func(dir string) string { return "file://" + filepath.ToSlash(dir) }
	environment := append(os.Environ(),
		// What this machine has downloaded comes from its cache; our own modules come only from the new proxy.
		"GOPROXY="+strings.Join([]string{fileURL(proxy), fileURL(filepath.Join(known.GOMODCACHE, "cache", "download")), known.GOPROXY}, ","),
		"GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw -mod=mod", "GOWORK=off", "GOSUMDB=off", "GONOSUMDB=", "GOPRIVATE=",
		"GOBIN="+t.TempDir(),
	)

	app := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(app, "go.mod"), []byte("module example.com/app\n\ngo 1.26.0\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(app, "main.go"), []byte(`package main

import (
	_ "github.com/lagkeeper/storage"
	_ "github.com/lagkeeper/storage/prometheus"
)

func main() {}
`), 0o600))
	goOutput(t, app, environment, "get", "github.com/lagkeeper/storage@latest", "github.com/lagkeeper/storage/prometheus@latest")
	goOutput(t, app, environment, "build", "./...")
	goOutput(t, app, environment, "install", "github.com/lagkeeper/storage/examples/lagmonitor@latest")
}

// modulesBelow returns the directories of the modules that go.work ties together, relative to the root.
func modulesBelow(t *testing.T, root string) []string {
	t.Helper()
	var work struct{ Use []struct{ DiskPath string } }
	require.NoError(t, json.Unmarshal([]byte(goOutput(t, root, nil, "work", "edit", "-json")), &work))
	var dirs []string
	for _, use := range work.Use {
		dirs = append(dirs, path.Clean(use.DiskPath))
	}
	require.NotEmpty(t, dirs)
	return dirs
}

// publish puts a module into a proxy, in the layout of https://go.dev/ref/mod#goproxy-protocol.
func publish(t *testing.T, proxy, root, dir string) {
	t.Helper()
	source := filepath.Join(root, dir)
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	require.NoError(t, err)
	require.NotContains(t, string(mod), "\nreplace", "%s: a replace directive has no effect in a module that requires this one", dir)
	name := "github.com/lagkeeper/storage"
	if dir != "." {
		name += "/" + dir
	}
	to := filepath.Join(proxy, filepath.FromSlash(name), "@v")
	require.NoError(t, os.MkdirAll(to, 0o700))
	write := func(file string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(to, file), content, 0o600))
	}
	write("list", []byte(version+"\n"))
	write(version+".info", []byte(`{"Version":"`+version+`"}`))
	write(version+".mod", mod)
	write(version+".zip", zipOf(t, source, name+"@"+version+"/"))
}

// zipOf packs a module: everything below its directory, except nested modules.
func zipOf(t *testing.T, source, prefix string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	require.NoError(t, filepath.WalkDir(source, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if at != source {
				if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil || strings.HasPrefix(entry.Name(), ".") {
					return filepath.SkipDir
				}
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		below, err := filepath.Rel(source, at)
		if err != nil {
			return err
		}
		to, err := w.Create(prefix + filepath.ToSlash(below))
		if err != nil {
			return err
		}
		from, err := os.Open(at)
		if err != nil {
			return err
		}
		defer from.Close()
		_, err = io.Copy(to, from)
		return err
	}))
	require.NoError(t, w.Close())
	return out.Bytes()
}

func goOutput(t *testing.T, dir string, environment []string, arguments ...string) string {
	t.Helper()
	command := exec.Command("go", arguments...)
	command.Dir, command.Env = dir, environment
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, "go %s: %s", strings.Join(arguments, " "), stderr.String())
	return strings.TrimSpace(string(out))
}
