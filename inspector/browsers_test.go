package inspector_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

func TestMain(m *testing.M) {
	if browsers, err := strconv.Atoi(os.Getenv("INSPECTOR_BROWSERS")); err == nil {
		browse(browsers, os.Getenv("INSPECTOR_LIVE"), os.Getenv("INSPECTOR_PAGE"))
		return
	}
	leaktest.Main(m)
}

// browse is the process of the browsers that BenchmarkLoad starts: each follows the ticks and asks for its page at each. When
// all have theirs, the processor time that they used so far is written. It ends with its input.
func browse(browsers int, live, page string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * browsers}}
	get := func(address string) io.ReadCloser {
		request, err := http.NewRequest(http.MethodGet, address, nil)
		must(err)
		request.Header.Set("Accept-Encoding", "gzip")
		answer, err := client.Do(request)
		must(err)
		if answer.StatusCode != http.StatusOK {
			must(fmt.Errorf("%s: %s", address, answer.Status))
		}
		return answer.Body
	}
	var round sync.WaitGroup
	next := make([]chan struct{}, browsers)
	round.Add(browsers)
	for i := range browsers {
		next[i] = make(chan struct{}, 1)
		go func() {
			ticks := bufio.NewScanner(get(live))
			for ticks.Scan() {
				if ticks.Text() != "event: tick" {
					continue
				}
				body := get(fmt.Sprintf(page, i))
				_, err := io.Copy(io.Discard, body)
				must(err)
				must(body.Close())
				round.Done()
				<-next[i]
			}
		}()
	}
	go func() {
		for {
			round.Wait()
			round.Add(browsers)
			fmt.Println(snapshottest.CPUTime())
			for _, c := range next {
				c <- struct{}{}
			}
		}
	}()
	_, err := io.Copy(io.Discard, os.Stdin)
	must(err)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
