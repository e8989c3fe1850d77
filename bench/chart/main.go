// Command chart draws the figures that the commands blackbox and scale write with -json, as SVG:
//
//	GOWORK=off go run ./chart -blackbox blackbox.json -o ../docs/bench-ratios.svg
//	GOWORK=off go run ./chart -scale scale.json -o ../docs/bench-scale.svg
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	flags := flag.NewFlagSet("chart", flag.ContinueOnError)
	blackbox := flags.String("blackbox", "", "results of blackbox")
	scale := flags.String("scale", "", "results of scale")
	out := flags.String("o", "", "file to write the picture to")
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case *out == "" || (*blackbox == "") == (*scale == ""):
		return errors.New("-o and one of -blackbox and -scale must be given")
	}
	if *blackbox != "" {
		return drawRatios(*blackbox, *out)
	}
	return drawScale(*scale, *out)
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// Colours that can be told apart by the colour-blind (Okabe and Ito, 2008).
var (
	blue   = color.RGBA{0, 114, 178, 255}
	orange = color.RGBA{230, 159, 0, 255}
	green  = color.RGBA{0, 158, 115, 255}
	pink   = color.RGBA{204, 121, 167, 255}
	red    = color.RGBA{213, 94, 0, 255}
)

// drawRatios draws the ratio of this library's cost to the floor and, if another implementation was measured, of that one's cost to
// this library's, each with the least and the greatest ratio of all pairs of runs.
func drawRatios(path, out string) error {
	var rows []struct {
		Name            string
		Over, LeastOver float64
		GreatestOver    float64
		Gain, LeastGain float64
		GreatestGain    float64
	}
	if err := read(path, &rows); err != nil {
		return err
	}
	p := plot.New()
	p.Title.Text = "Cost relative to the floor"
	p.X.Label.Text = "ratio, medians with the least and the greatest of all pairs of runs"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	var names []string
	over, gain := &spread{}, &spread{}
	for _, r := range slices.Backward(rows) { // the first row on top
		if r.Over <= 0 && r.Gain <= 0 {
			continue
		}
		y := float64(len(names))
		names = append(names, r.Name)
		over.add(y, r.Over, r.LeastOver, r.GreatestOver)
		gain.add(y, r.Gain, r.LeastGain, r.GreatestGain)
	}
	if len(names) == 0 {
		return errors.New("no ratio in " + path)
	}
	p.NominalY(names...)
	if len(gain.XYs) > 0 {
		p.Title.Text += " (circles) and of the other implementation relative to this (squares)"
	}
	one, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(names)) - 0.5}})
	if err != nil {
		return err
	}
	one.Color = color.Gray{160}
	p.Add(one)
	if err := over.draw(p, blue, draw.CircleGlyph{}); err != nil {
		return err
	}
	if err := gain.draw(p, red, draw.BoxGlyph{}); err != nil {
		return err
	}
	p.X.Min = min(p.X.Min, 0.5)
	return p.Save(24*vg.Centimeter, vg.Length(len(names)+4)*0.7*vg.Centimeter, out)
}

// decades marks the powers of ten as a person would write them.
type decades struct{}

func (decades) Ticks(least, greatest float64) []plot.Tick {
	ticks := plot.LogTicks{Prec: -1}.Ticks(least, greatest)
	for i := range ticks {
		switch v := ticks[i].Value; {
		case ticks[i].IsMinor():
		case v >= 1e6:
			ticks[i].Label = fmt.Sprintf("%g million", v/1e6)
		case v >= 1000:
			ticks[i].Label = fmt.Sprintf("%g,000", v/1000)
		}
	}
	return ticks
}

// spread is a row of points with error bars.
type spread struct {
	plotter.XYs
	plotter.XErrors
}

func (s *spread) add(y, middle, least, greatest float64) {
	if middle <= 0 {
		return
	}
	s.XYs = append(s.XYs, plotter.XY{X: middle, Y: y})
	s.XErrors = append(s.XErrors, struct{ Low, High float64 }{middle - least, greatest - middle})
}

func (s *spread) draw(p *plot.Plot, c color.Color, shape draw.GlyphDrawer) error {
	if len(s.XYs) == 0 {
		return nil
	}
	points, err := plotter.NewScatter(s.XYs)
	if err != nil {
		return err
	}
	points.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(4), Shape: shape}
	bars, err := plotter.NewXErrorBars(s)
	if err != nil {
		return err
	}
	bars.Color = c
	p.Add(bars, points)
	return nil
}

// drawScale draws each cost against the size of the store.
func drawScale(path, out string) error {
	var rows []map[string]float64
	if err := read(path, &rows); err != nil {
		return err
	}
	p := plot.New()
	p.Title.Text = "Cost against size"
	p.X.Label.Text = "group-partitions, ten commits each"
	p.Y.Label.Text = "nanoseconds or bytes"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	p.Legend.Top, p.Legend.Left = false, false
	p.Add(plotter.NewGrid())
	for i, c := range []struct {
		key, title string
		per        bool // group-partition
		color      color.Color
	}{
		{"heap_bytes_per_group_partition", "heap, bytes per group-partition", false, blue},
		{"commit_p50_ns", "commit of a random group, median ns", false, orange},
		{"fetch_p50_ns", "fetch of 100 partitions, median ns", false, green},
		{"save_ns", "save, ns per group-partition", true, pink},
		{"restore_ns", "restore, ns per group-partition", true, red},
	} {
		var points plotter.XYs
		for _, r := range rows {
			n := r["group_partitions"]
			y := r[c.key]
			if c.per {
				y /= n
			}
			points = append(points, plotter.XY{X: n, Y: y})
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.TriangleGlyph{}, draw.PlusGlyph{}, draw.CrossGlyph{}}
		line.Color, dots.Color, dots.Shape, dots.Radius = c.color, c.color, shapes[i], vg.Points(4)
		p.Add(line, dots)
		p.Legend.Add(c.title, line, dots)
	}
	p.Legend.YOffs, p.Legend.Padding = vg.Points(8), vg.Points(3)
	p.Y.Min = 10
	return p.Save(18*vg.Centimeter, 12*vg.Centimeter, out)
}
