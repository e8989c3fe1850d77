// Command blackbox compares two implementations of the storage subsystem through its published channel API. Their runs alternate in
// pairs, so that other load on the machine disturbs both:
//
//	GOWORK=off go run ./blackbox -dir /path/to/checkout -storage example.com/monitor/storage -protocol example.com/monitor/protocol
//
// The other implementation is built from a checkout of its module, which stays unchanged. Its storage package may be internal.
// Without -dir this library alone is measured, beside its floors.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	ourStorage  = "github.com/lagkeeper/storage"
	ourProtocol = "github.com/lagkeeper/storage/protocol"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "blackbox:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("blackbox", flag.ContinueOnError)
	dir := flags.String("dir", "", "root of a checkout of the other implementation's module")
	storage := flags.String("storage", ourStorage, "import path of the other storage package")
	protocol := flags.String("protocol", ourProtocol, "import path of the other protocol package")
	pairs := flags.Int("pairs", 5, "runs of each scenario and implementation")
	scale := flags.String("scale", "1", "sizes relative to the usual ones")
	only := flags.String("scenarios", "", "comma-separated scenarios to run; all by default")
	results := flags.String("json", "", "file to write the results to, for the command chart")
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case *pairs < 1:
		return fmt.Errorf("invalid -pairs %d: must be at least 1", *pairs)
	}
	scratch, err := os.MkdirTemp("", "blackbox")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	ours := filepath.Join(scratch, "ours")
	if err := goCommand("", "build", "-o", ours, ourStorage+"/bench/blackbox/workload"); err != nil {
		return err
	}
	binaries := []string{ours}
	if *dir != "" {
		theirs := filepath.Join(scratch, "theirs")
		if err := buildFor(*dir, *storage, *protocol, theirs); err != nil {
			return err
		}
		binaries = append(binaries, theirs)
	}
	scenarios, err := output(ours)
	if err != nil {
		return err
	}
	c := &comparison{}
	for _, scenario := range strings.Fields(string(scenarios)) {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), scenario) {
			continue
		}
		for pair := range *pairs {
			for side := range binaries {
				side = (side + pair) % len(binaries) // each goes first in every other pair
				fmt.Fprintf(os.Stderr, "%s, run %d of %d, %s\n", scenario, pair+1, *pairs, filepath.Base(binaries[side]))
				text, err := output(binaries[side], "-scenario", scenario, "-scale", *scale)
				if err != nil {
					return err
				}
				if err := c.add(side, text); err != nil {
					return err
				}
			}
		}
	}
	if *results != "" {
		text, err := json.MarshalIndent(c.rows(), "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*results, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return c.table(out)
}

// buildFor builds the workload against another implementation. The files are laid over the checkout, beside the storage
// package, so that they may import it if it is internal.
func buildFor(dir, storage, protocol, binary string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	module, err := outputIn(dir, "go", "list", "-m")
	if err != nil {
		return err
	}
	root := strings.TrimSpace(string(module))
	inside, ok := strings.CutPrefix(storage+"/", root+"/")
	if !ok {
		return fmt.Errorf("invalid -storage %q: must be in module %s", storage, root)
	}
	source, err := outputIn("", "go", "list", "-f", "{{.Dir}}", ourStorage+"/bench/blackbox/workload")
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(source)), "*.go"))
	if err != nil {
		return err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	place := inside + "blackboxworkload"
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte(`"`+ourProtocol+`"`), []byte(`"`+protocol+`"`))
		text = bytes.ReplaceAll(text, []byte(`"`+ourStorage+`"`), []byte(`"`+storage+`"`))
		laid := binary + "-" + filepath.Base(file)
		if err := os.WriteFile(laid, text, 0o600); err != nil {
			return err
		}
		overlay.Replace[filepath.Join(dir, filepath.FromSlash(place), filepath.Base(file))] = laid
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	if err := os.WriteFile(binary+".json", text, 0o600); err != nil {
		return err
	}
	return goCommand(dir, "build", "-overlay", binary+".json", "-o", binary, "./"+place)
}

func goCommand(dir string, arguments ...string) error {
	_, err := outputIn(dir, "go", arguments...)
	return err
}

func output(name string, arguments ...string) ([]byte, error) {
	return outputIn("", name, arguments...)
}

func outputIn(dir, name string, arguments ...string) ([]byte, error) {
	command := exec.Command(name, arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off")
	var complaints bytes.Buffer
	command.Stderr = &complaints
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(arguments, " "), err, complaints.String())
	}
	return text, nil
}

// row is one figure of the comparison: the medians, and the least and the greatest ratio within a pair of runs.
type row struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Ours   float64 `json:"ours"`
	Theirs float64 `json:"theirs,omitempty"`
	Floor  float64 `json:"floor,omitempty"`
	// Gain is their figure divided by ours: how many times less this library takes.
	Gain, LeastGain, GreatestGain float64
	// Over is our figure divided by the floor of the same run.
	Over, LeastOver, GreatestOver float64
}

type comparison struct {
	names  []string
	units  map[string]string
	values [2]map[string][]float64 // by side and name, one for each run
	floors map[string][]float64
}

func (c *comparison) add(side int, text []byte) error {
	if c.units == nil {
		c.units, c.floors = map[string]string{}, map[string][]float64{}
		c.values = [2]map[string][]float64{{}, {}}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var m struct {
			Name, Unit   string
			Value, Floor float64
		}
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if c.units[m.Name] == "" {
			c.units[m.Name] = m.Unit
			c.names = append(c.names, m.Name)
		}
		c.values[side][m.Name] = append(c.values[side][m.Name], m.Value)
		if side == 0 && m.Floor > 0 {
			c.floors[m.Name] = append(c.floors[m.Name], m.Floor)
		}
	}
}

func (c *comparison) rows() []row {
	var all []row
	for _, name := range c.names {
		ours, theirs, floors := c.values[0][name], c.values[1][name], c.floors[name]
		r := row{Name: name, Unit: c.units[name], Ours: median(ours), Theirs: median(theirs), Floor: median(floors)}
		r.Gain, r.LeastGain, r.GreatestGain = ratios(theirs, ours)
		r.Over, r.LeastOver, r.GreatestOver = ratios(ours, floors)
		all = append(all, r)
	}
	return all
}

// ratios returns the median, the least and the greatest ratio within a pair of runs.
func ratios(of, to []float64) (middle, least, greatest float64) {
	var all []float64
	for i := range min(len(of), len(to)) {
		all = append(all, of[i]/to[i])
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	return median(all), slices.Min(all), slices.Max(all)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return sorted[len(sorted)/2]
}

// table writes the comparison as Markdown.
func (c *comparison) table(out io.Writer) error {
	var b strings.Builder
	b.WriteString("| what | floor | here | over the floor | other | other over here |\n| --- | --- | --- | --- | --- | --- |\n")
	figure := func(value float64, unit string) string {
		if value == 0 {
			return "–"
		}
		return fmt.Sprintf("%.4g %s", value, unit)
	}
	spread := func(middle, least, greatest float64) string {
		if middle == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f × (%.2f to %.2f)", middle, least, greatest)
	}
	for _, r := range c.rows() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.Name, figure(r.Floor, r.Unit), figure(r.Ours, r.Unit),
			spread(r.Over, r.LeastOver, r.GreatestOver), figure(r.Theirs, r.Unit), spread(r.Gain, r.LeastGain, r.GreatestGain))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
