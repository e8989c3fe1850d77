package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// reader reads keys and collects faults. For each key that is not set it sets the default in viper.
type reader struct {
	viper *viper.Viper
	root  string

	known    []string
	faults   []string
	warnings []string
}

func (r *reader) key(name string) string { return r.root + "." + name }

func (r *reader) get(name string, byDefault any) any {
	r.known = append(r.known, name)
	value := r.viper.Get(r.key(name))
	if value == nil {
		r.viper.SetDefault(r.key(name), byDefault)
	}
	return value
}

// number returns a number as an int, the usual type in a viper, if an int can hold it.
func number(n int64) any {
	if int64(int(n)) == n {
		return int(n)
	}
	return n
}

func (r *reader) fault(name string, value any, allowed string) {
	r.faults = append(r.faults, fmt.Sprintf("%s: %s is not allowed; allowed is %s", r.key(name), show(value), allowed))
}

func show(value any) string {
	if s, ok := value.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%v", value)
}

// integer reads a whole number from least to most.
func (r *reader) integer(name string, byDefault, least, most int64) int64 {
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
func (r *reader) seconds(name string, byDefault, least int64) time.Duration {
	return seconds(r.integer(name, byDefault, least, math.MaxInt64))
}

func seconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64 // in effect for ever
	}
	return time.Duration(n) * time.Second
}

// wholeNumber accepts the number types of all configuration formats, and numbers in strings, as the environment has them.
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
		return int64(v), uint64(v) <= math.MaxInt64
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
func (r *reader) text(name, byDefault string) string {
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

// flag reads a boolean.
func (r *reader) flag(name string, byDefault bool) bool {
	switch value := r.get(name, byDefault).(type) {
	case nil:
		return byDefault
	case bool:
		return value
	case string: // from the environment
		if b, err := strconv.ParseBool(value); err == nil {
			return b
		}
		r.fault(name, value, "true or false")
	default:
		r.fault(name, value, "true or false")
	}
	return byDefault
}

// texts reads a list of strings, which may also be one string with commas between the elements.
func (r *reader) texts(name string) (list []string) {
	switch value := r.get(name, []string{}).(type) {
	case nil:
	case []string:
		return value
	case string:
		return strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
	case []any:
		for _, one := range value {
			text, ok := one.(string)
			if !ok {
				r.fault(name, value, "a list of strings")
				return nil
			}
			list = append(list, text)
		}
	default:
		r.fault(name, value, "a list of strings")
	}
	return list
}

// expression reads a regular expression under its name or its name in v1.0.0. It returns nil if neither is
// set; "" counts as not set.
func (r *reader) expression(name, oldName string) *regexp.Regexp {
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

// checkTable records a fault if root exists and is not a table.
func (r *reader) checkTable() {
	present := r.viper.Get(r.root)
	if _, ok := present.(map[string]any); present != nil && !ok {
		r.faults = append(r.faults, fmt.Sprintf("%s: %s is not allowed; allowed is a table of keys", r.root, show(present)))
	}
}

// findUnknown adds a warning for each unknown key.
func (r *reader) findUnknown() {
	settings, _ := r.viper.Get(r.root).(map[string]any)
	for _, name := range namesOf(settings) {
		if !slices.Contains(r.known, strings.ToLower(name)) {
			r.warnings = append(r.warnings, fmt.Sprintf("%s is not a known key; known are: %s", r.key(name), strings.Join(r.known, ", ")))
		}
	}
}

// err returns all faults as one error, nil if there are none.
func (r *reader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(r.faults, "\n"))
}
