package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/lagkeeper/storage/internal/leaktest"
)

// testTimeout bounds each wait of a test for Kafka. It measures nothing: a busy machine may take minutes.
const testTimeout = 5 * time.Minute

// asProgram is the environment variable that makes the test binary the program; its value holds the arguments.
const asProgram = "LAGMONITOR_TEST_RUN"

func TestMain(m *testing.M) {
	if args := os.Getenv(asProgram); args != "" {
		os.Exit(run(context.Background(), strings.Fields(args), os.Stdout, os.Stderr))
	}
	leaktest.Main(m)
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func testDemo(t *testing.T, ctx context.Context) *demo {
	t.Helper()
	d, err := startDemo(ctx)
	require.NoError(t, err)
	t.Cleanup(d.close)
	return d
}

// The workload runs for a cycle and a half, and Kafka confirms that the groups are where the script has them.
func TestScriptOnKafka(t *testing.T) {
	ctx := testContext(t)
	d := testDemo(t, ctx)
	w := d.workload
	lag := func(group string) int64 {
		lags, err := w.admin.Lag(ctx, group)
		require.NoError(t, err)
		require.NoError(t, lags.Error())
		return lags[group].Lag.Total()
	}
	for range scriptSettled {
		require.NoError(t, w.step(ctx))
	}
	require.EqualValues(t, 0, lag("billing"))
	require.EqualValues(t, 4*scriptSettled*(perStep-4), lag("warehouse"))
	require.EqualValues(t, 3*(scriptSettled-5)*perStep, lag("mailer"))
	require.EqualValues(t, 3*(rewindBy-4*perStep/2), lag("search"))
	require.EqualValues(t, 0, lag("dashboard"))

	listed, err := w.admin.ListGroups(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"billing", "warehouse", "mailer", "search", "dashboard"}, listed.Groups())
	topics, err := w.admin.ListTopics(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"orders", "payments", "clicks"}, topics.Names())
	require.Len(t, topics["clicks"].Partitions, 4)

	for range scriptCycle {
		require.NoError(t, w.step(ctx))
	}
	require.EqualValues(t, 0, lag("billing"))
	require.EqualValues(t, 3*(scriptSettled-5)*perStep, lag("mailer"), "mailer went on and stopped again")
	topics, err = kadm.NewClient(w.producer).ListTopics(ctx)
	require.NoError(t, err)
	require.Len(t, topics["clicks"].Partitions, 6)
}
