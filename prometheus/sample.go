package prometheus

import (
	"slices"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// sample is one series of a lag, a gauge. The series of a partition differ only in their names, so they share their labels:
// otherwise a collection of 100,000 series would take four times the memory.
type sample struct {
	desc   *prom.Desc
	labels []*dto.LabelPair // sorted by name; never changed
	value  float64
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prom.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	out.Gauge = &dto.Gauge{Value: &s.value}
	return nil
}

func labelPair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// sortedPairs returns the pairs of both, sorted by name.
func sortedPairs(pairs []*dto.LabelPair, more ...*dto.LabelPair) []*dto.LabelPair {
	all := slices.Concat(pairs, more)
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}

// pairBytes returns the bytes of a label in a scrape, as text: name="value", with escapes.
func pairBytes(pair *dto.LabelPair) int {
	value := pair.GetValue()
	escaped := strings.Count(value, `\`) + strings.Count(value, `"`) + strings.Count(value, "\n")
	return len(pair.GetName()) + len(value) + escaped + len(`="",`)
}

// valueBytes is the most that the value of a series takes in a scrape, with the text around it.
const valueBytes = len("{} -1.7976931348623157e+308\n")
