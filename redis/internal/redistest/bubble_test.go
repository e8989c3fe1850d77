package redistest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

func TestTimeInABubblePassesBetweenRequestsOnly(t *testing.T) {
	for name, s := range map[string]*Servers{"single": Single(t), "cluster": Cluster(t, 3, 0)} {
		for i := range 3 {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: s.Addresses(), DisableCache: true, DialCtxFn: DialInBubble})
					require.NoError(t, err)
					defer client.Close()
					var all sync.WaitGroup
					for g := range 10 {
						all.Go(func() {
							for j := range 50 {
								key := fmt.Sprint(name, i, g, j)
								got := client.DoMulti(context.Background(),
									client.B().Set().Key("{"+key+"}a").Value(strings.Repeat("x", j*100)).Build(),
									client.B().Get().Key("{"+key+"}a").Build(),
									client.B().Eval().Script("local t = 0 for i = 1, 1e5 do t = t + i end return {1, {2, {}}, 'x'}").Numkeys(1).Key("{"+key+"}a").Build())
								text, err := got[1].ToString()
								require.NoError(t, err)
								require.Len(t, text, j*100)
								require.NoError(t, got[2].Error())
							}
						})
					}
					all.Wait()
					require.Zero(t, time.Since(began), "no time passed while the server worked")
					time.Sleep(time.Hour)
					require.Equal(t, time.Hour, time.Since(began))
					require.NoError(t, client.Do(context.Background(), client.B().Ping().Build()).Error())
				})
			})
		}
	}
}

func TestValuesAreCountedWhenTheyAreComplete(t *testing.T) {
	for text, want := range map[string]int{
		"+OK\r\n":                          1,
		":-7\r\n_\r\n":                     2,
		"$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n": 3,
		"*2\r\n*0\r\n*2\r\n$1\r\nx\r\n%1\r\n+k\r\n*-1\r\n": 1,
		"*0\r\n":                            1,
		"%0\r\n~1\r\n#t\r\n=5\r\ntxt:a\r\n": 3,
		">2\r\n+message\r\n$1\r\nx\r\n":     0,
		"|1\r\n+ttl\r\n:3\r\n+OK\r\n":       1,
		"-ERR *2 no\r\n":                    1,
		"*2\r\n+a\r\n":                      0,
	} {
		var whole, bytewise values
		require.Equal(t, want, whole.count([]byte(text)), "%q", text)
		got := 0
		for i := range text {
			got += bytewise.count([]byte(text[i : i+1]))
		}
		require.Equal(t, want, got, "%q, byte by byte", text)
	}
}
