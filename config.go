package storage

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/window"
)

// maxQueueDepth is the greatest queue-depth: a channel of that capacity takes 128 MiB.
const maxQueueDepth = 1 << 24

// readConfig reads what stands under root, but for the clusters. It panics with a string that names every fault.
func readConfig(v *viper.Viper, root string, log *zap.Logger) (Options, RelayOptions) {
	r := &configReader{viper: v, root: root}
	// Before viper is told defaults, which would make a table of what is none.
	r.checkTable()
	r.panicOnFaults()
	takeBackDefault(v, r.key("expire-topic"))
	intervals := r.integer("intervals", 10, 1, window.MaxCommits)
	expireGroup := r.integer("expire-group", 604800, 1, math.MaxInt64)
	o := Options{
		Intervals:        int(intervals),
		ExpireGroup:      seconds(expireGroup),
		SweepInterval:    r.seconds("sweep-interval", 60, 1),
		Shards:           int(r.integer("workers", 20, 1, maxShards)),
		MinDistance:      r.seconds("min-distance", 0, 0),
		CurveSegments:    int(zeroIsOff(r.integer("curve-segments", curve.DefaultSegments, 0, curve.MaxSegments))),
		SnapshotPath:     r.text("snapshot-path", ""),
		SnapshotInterval: zeroIsOff(r.seconds("snapshot-interval", 60, 0)),
		ReplayTimeout:    zeroIsOff(r.seconds("replay-timeout", 600, 0)),
		MaxMemory:        r.integer("max-memory", 0, 0, math.MaxInt64),
		GroupAllow:       r.expression("group-allowlist", "group-whitelist"),
		GroupDeny:        r.expression("group-denylist", "group-blacklist"),
	}
	if v.Get(r.key("expire-topic")) == nil {
		tellDefault(v, r.key("expire-topic"), number(expireGroup))
	}
	o.ExpireTopic = r.seconds("expire-topic", expireGroup, 1)
	relay := RelayOptions{
		Workers:      o.Shards,
		QueueDepth:   int(r.integer("queue-depth", 1, 0, maxQueueDepth)),
		ReplyTimeout: r.seconds("reply-timeout", 30, 1),
	}
	r.text("class-name", DefaultClassName)
	r.findUnknown()
	for _, warning := range r.warnings {
		log.Warn(warning)
	}
	r.panicOnFaults()
	return o, relay
}

// zeroIsOff returns a configured number as Options have it: there 0 stands for the default, and -1 turns the thing off.
func zeroIsOff[N int64 | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

// configReader reads keys, tells viper the defaults of those that are not set, so that an application that shows its
// configuration shows them, and remembers what is wrong.
type configReader struct {
	viper *viper.Viper
	root  string

	known    []string
	faults   []string
	warnings []string
}

func (r *configReader) key(name string) string { return r.root + "." + name }

func (r *configReader) get(name string, byDefault any) any {
	r.known = append(r.known, name)
	value := r.viper.Get(r.key(name))
	if value == nil {
		r.viper.SetDefault(r.key(name), byDefault)
	}
	return value
}

// number is a number of the type that is usual in a viper, if that holds it.
func number(n int64) any {
	if int64(int(n)) == n {
		return int(n)
	}
	return n
}

func (r *configReader) fault(name string, value any, allowed string) {
	r.faults = append(r.faults, fmt.Sprintf("%s: %s is not allowed; allowed is %s", r.key(name), show(value), allowed))
}

func show(value any) string {
	if s, ok := value.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%v", value)
}

// integer reads a whole number from least to most.
func (r *configReader) integer(name string, byDefault, least, most int64) int64 {
	value := r.get(name, number(byDefault))
	if value == nil {
		return byDefault
	}
	n, ok := wholeNumber(value)
	if !ok || n < least || n > most {
		allowed := fmt.Sprintf("a whole number from %d to %d", least, most)
		if most >= math.MaxInt32 {
			allowed = fmt.Sprintf("a whole number of at least %d", least)
		}
		r.fault(name, value, allowed)
		return byDefault
	}
	return n
}

// seconds reads a number of seconds.
func (r *configReader) seconds(name string, byDefault, least int64) time.Duration {
	return seconds(r.integer(name, byDefault, least, math.MaxInt64))
}

func seconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64 // as good as for ever
	}
	return time.Duration(n) * time.Second
}

// wholeNumber takes the types in which the formats that viper reads give a number, and numbers in strings, which is how
// they come out of the environment.
func wholeNumber(value any) (int64, bool) {
	switch v := value.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint:
		return int64(v), v <= math.MaxInt64
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	case float32:
		return wholeFloat(float64(v))
	case float64:
		return wholeFloat(v)
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return n, err == nil
	default:
		return 0, false
	}
}

func wholeFloat(f float64) (int64, bool) {
	return int64(f), f == math.Trunc(f) && f >= -1<<63 && f < 1<<63
}

// text reads a string.
func (r *configReader) text(name, byDefault string) string {
	switch value := r.get(name, byDefault).(type) {
	case nil:
		return byDefault
	case string:
		return value
	default:
		r.fault(name, value, "a string")
		return ""
	}
}

// expression reads a regular expression under its name or the one it had in v1.0.0; "" means that it is not set, and gives
// nil.
func (r *configReader) expression(name, oldName string) *regexp.Regexp {
	text, old := r.text(name, ""), r.text(oldName, "")
	if old != "" {
		if text != "" {
			r.fault(oldName, old, fmt.Sprintf("nothing, since %s is set too", r.key(name)))
			return nil
		}
		r.warnings = append(r.warnings, fmt.Sprintf("%s is an old name; use %s", r.key(oldName), r.key(name)))
		name, text = oldName, old
	}
	if text == "" {
		return nil
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		r.fault(name, text, "a regular expression: "+err.Error())
		return nil
	}
	return compiled
}

// checkTable finds fault with a root that is there and holds no keys.
func (r *configReader) checkTable() {
	present := r.viper.Get(r.root)
	if _, ok := present.(map[string]any); present != nil && !ok {
		r.faults = append(r.faults, fmt.Sprintf("%s: %s is not allowed; allowed is a table of keys", r.root, show(present)))
	}
}

// findUnknown warns of keys that nobody reads.
func (r *configReader) findUnknown() {
	settings, _ := r.viper.Get(r.root).(map[string]any)
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(r.known, strings.ToLower(name)) {
			r.warnings = append(r.warnings, fmt.Sprintf("%s is not a known key; known are: %s", r.key(name), strings.Join(r.known, ", ")))
		}
	}
}

func (r *configReader) panicOnFaults() {
	if len(r.faults) > 0 {
		panic("storage configuration: " + strings.Join(r.faults, "\n"))
	}
}

// moduleToMake finds out which module is configured under storage: its name and class. If there is none it tells viper of
// the one named default.
func moduleToMake(v *viper.Viper) (name, className string) {
	const root = "storage"
	present := v.Get(root)
	if present == nil {
		return defaultModule(v)
	}
	modules, ok := present.(map[string]any)
	if !ok {
		panic(fmt.Sprintf("storage configuration: %s: %s is not allowed; allowed is a table with one module", root, show(present)))
	}
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 1 {
		// One that an earlier call told of is none.
		names = slices.DeleteFunc(names, func(name string) bool { return name == defaultName && toldDefault(v, defaultClass) })
	}
	switch len(names) {
	case 0:
		return defaultModule(v)
	case 1:
		name = names[0]
	default:
		panic(fmt.Sprintf("storage configuration: %s: only one module is allowed; configured are: %s", root, strings.Join(names, ", ")))
	}
	r := &configReader{viper: v, root: root + "." + name}
	r.checkTable()
	r.panicOnFaults()
	className = r.text("class-name", DefaultClassName)
	r.panicOnFaults()
	if className == "" {
		className = DefaultClassName
	}
	return name, className
}

// defaultName is the name of the module of a configuration that names none.
const (
	defaultName  = "default"
	defaultClass = "storage." + defaultName + ".class-name"
)

func defaultModule(v *viper.Viper) (name, className string) {
	tellDefault(v, defaultClass, DefaultClassName)
	return defaultName, DefaultClassName
}

// clusterNames reads the names under cluster. It returns an error if cluster is no table.
func clusterNames(v *viper.Viper) ([]string, error) {
	present := v.Get("cluster")
	if present == nil {
		return nil, nil
	}
	clusters, ok := present.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read configuration: cluster: %s is not allowed; allowed is a table of clusters", show(present))
	}
	names := make([]string, 0, len(clusters))
	for name := range clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}
