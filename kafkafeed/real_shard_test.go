package kafkafeed

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
)

// Two feeds with stores of their own together have what Kafka's own tool shows, while one joins and the other leaves.
func TestRealKafkaIsSharedByTwoFeeds(t *testing.T) {
	w := newWorld(t, 1)
	w.topic("orders", 3, 20)
	commit := func(offset int64) {
		for i := range 30 {
			w.commit(fmt.Sprint("g", i), "orders", int32(i%3), offset)
		}
	}
	commit(5)
	open := w.begin("open")
	open.commit("tx", "orders", 0, 9)
	first, second := openStore(t, ""), openStore(t, "")
	one := w.feed(first, Shard("lag-monitors"))
	<-one.Ready()
	w.agree(first)

	two := w.feed(second, Shard("lag-monitors"))
	eventually(t, "each has a share", func() bool {
		a, b := len(one.partitions()), len(two.partitions())
		return a > 0 && b > 0 && a+b == kafkatest.LogPartitions
	})
	commit(6)
	var have lags
	together := func(want lags) func() bool {
		return func() bool {
			a, b := storedLags(t, first), storedLags(t, second)
			have = maps.Clone(a)
			maps.Copy(have, b)
			return len(a)+len(b) == len(want) && maps.Equal(want, have) && maps.Equal(a, one.fed(t, first)) && maps.Equal(b, two.fed(t, second))
		}
	}
	var want lags
	eventually(t, "the tool knows every group", func() bool {
		want = w.describedLags()
		return len(want) == 30
	})
	eventually(t, "both together hold what the tool says", together(want))

	open.end(true)
	commit(7)
	one.stop()
	have = w.agree(second)
	require.Equal(t, "9 20 11", have["tx orders 0"], "the transaction was open while its partition changed hands")
	require.Len(t, have, 31)
	require.Empty(t, two.Status().Refused)
}
