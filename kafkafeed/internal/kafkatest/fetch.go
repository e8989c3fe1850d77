// Package kafkatest runs a real Apache Kafka for tests: brokers in KRaft mode on loopback, fetched with Maven.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lagkeeper/storage/internal/servertest"
)

// Version is the version of Kafka that tests run against, unless KAFKATEST_VERSION names another.
const Version = "4.3.1"

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>kafkatest</groupId><artifactId>kafkatest</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>%[1]s</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>%[1]s</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies>
</project>
`

// classpath returns the class path of Kafka, and fetches it into the user's cache if it is not there. It skips the test if
// Java or Maven is missing, and fails it then if the variable CI is "true".
func classpath(t testing.TB) string {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			servertest.Missing(t, program+" is not installed, so no real Kafka can be run: "+err.Error())
		}
	}
	version := version()
	jars, err := fetch(version)
	if err != nil {
		servertest.Missing(t, "Kafka "+version+" cannot be fetched: "+err.Error())
	}
	return filepath.Join(jars, "*")
}

func version() string {
	if v := os.Getenv("KAFKATEST_VERSION"); v != "" {
		return v
	}
	return Version
}

// IsOld reports whether the version of Kafka is older than 4.0: it has neither share groups nor the final new group protocol.
func IsOld() bool { return strings.HasPrefix(version(), "3.") }

func fetch(version string) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "kafkatest")
	dir = filepath.Join(parent, "kafka-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	// Another test process may fetch at the same time, so the directory appears only when it is complete.
	scratch, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	file := filepath.Join(scratch, "pom.xml")
	if err := os.WriteFile(file, fmt.Appendf(nil, pom, version), 0o600); err != nil {
		return "", err
	}
	jars := filepath.Join(scratch, "jars")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies",
		"-DoutputDirectory="+jars, "-DincludeScope=runtime").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run mvn: %w: %s", err, strings.TrimSpace(string(output)))
	}
	if err := os.Rename(jars, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}
