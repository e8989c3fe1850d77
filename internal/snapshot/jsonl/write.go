package jsonl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// Writer writes a snapshot as JSON lines. The first error sticks. It writes one line at a time; buffer an io.Writer for which
// small writes are expensive. A Writer is used by one goroutine.
type Writer struct {
	w       io.Writer
	maxLine int
	line    bytes.Buffer
	encoder *json.Encoder
	sum     snapshot.Summary
	err     error
	closed  bool
}

// Write writes what fill passes to the Output.
func Write(w io.Writer, header snapshot.Header, fill func(snapshot.Output) error) (snapshot.Summary, error) {
	jw := NewWriter(w, header)
	if err := fill(jw); err != nil {
		return snapshot.Summary{}, err
	}
	return jw.Close()
}

// NewWriter begins a snapshot. An error in writing its first line is returned by the next call.
func NewWriter(w io.Writer, header snapshot.Header) *Writer {
	jw := &Writer{w: w, maxLine: DefaultMaxLine}
	jw.encoder = json.NewEncoder(&jw.line)
	jw.encoder.SetEscapeHTML(false)
	if err := header.Validate(); err != nil {
		jw.err = fmt.Errorf("write JSON lines: %w", err)
		return jw
	}
	_ = jw.write(jsonHeader{ // sticks
		Kind: kindHeader, Version: version, TakenAt: &header.TakenAt, Intervals: header.Intervals,
		Sequence: header.Sequence, Positions: positionsToJSON(header.Positions),
	})
	return jw
}

// WriteTopic writes one topic, which must be within the limits of its type.
func (w *Writer) WriteTopic(t *snapshot.Topic) error {
	if err := w.ready(); err != nil {
		return err
	}
	if err := t.Validate(); err != nil {
		w.err = fmt.Errorf("write JSON lines: %w", err)
		return w.err
	}
	if err := w.write(topicToJSON(t)); err != nil {
		return err
	}
	w.sum.Topics++
	return nil
}

// WriteGroup writes one group, packed or not, which must be within the limits of its type.
func (w *Writer) WriteGroup(g *snapshot.Group) error {
	if err := w.ready(); err != nil {
		return err
	}
	if err := g.Validate(); err != nil {
		w.err = fmt.Errorf("write JSON lines: %w", err)
		return w.err
	}
	unpacked := g.Unpacked()
	if err := w.write(groupToJSON(&unpacked)); err != nil {
		return err
	}
	w.sum.AddGroup(g)
	return nil
}

// Flush does nothing: each line is written at once.
func (w *Writer) Flush() error { return w.ready() }

// Close writes the last line, which counts the others. It does not close the io.Writer. Called again, it returns
// ErrClosed.
func (w *Writer) Close() (snapshot.Summary, error) {
	if w.closed {
		return snapshot.Summary{}, snapshot.ErrClosed
	}
	w.closed = true
	_ = w.write(jsonEnd{ // sticks
		Kind: kindEnd, Topics: w.sum.Topics, Groups: w.sum.Groups, Partitions: w.sum.GroupPartitions,
		Commits: w.sum.Commits,
	})
	if w.err != nil {
		return snapshot.Summary{}, w.err
	}
	return w.sum, nil
}

func (w *Writer) ready() error {
	if w.closed && w.err == nil {
		return snapshot.ErrClosed
	}
	return w.err
}

// write writes a line. An error sticks, unless nothing was written because the line is too long.
func (w *Writer) write(line any) error {
	if w.err != nil {
		return w.err
	}
	w.line.Reset()
	err := w.encoder.Encode(line) // ends the line
	n := 0
	switch length := w.line.Len() - 1; {
	case err != nil:
	case length > w.maxLine:
		return fmt.Errorf("write JSON lines: a line of %d bytes, more than %d: %w", length, w.maxLine, snapshot.ErrTooLarge)
	default:
		if n, err = w.w.Write(w.line.Bytes()); err == nil && n != w.line.Len() {
			err = io.ErrShortWrite
		}
	}
	if err != nil {
		w.err = fmt.Errorf("write JSON lines: %w", err)
		return w.err
	}
	w.sum.Bytes += uint64(n)
	return nil
}
