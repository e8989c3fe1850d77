package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// JSONWriter writes a snapshot as JSON lines. The first error sticks. It writes one line at a time; an io.Writer for which
// small writes are dear wants a buffer. A JSONWriter is for one goroutine.
type JSONWriter struct {
	w       io.Writer
	maxLine int
	line    bytes.Buffer
	encoder *json.Encoder
	sum     Summary
	err     error
	closed  bool
}

// WriteJSONLines writes what fill gives to the Sink.
func WriteJSONLines(w io.Writer, header Header, fill func(Sink) error) (Summary, error) {
	jw := NewJSONWriter(w, header)
	if err := fill(jw); err != nil {
		return Summary{}, err
	}
	return jw.Close()
}

// NewJSONWriter begins a snapshot. An error in writing its first line is returned by the next call.
func NewJSONWriter(w io.Writer, header Header) *JSONWriter {
	jw := &JSONWriter{w: w, maxLine: DefaultMaxLine}
	jw.encoder = json.NewEncoder(&jw.line)
	jw.encoder.SetEscapeHTML(false)
	if err := header.validate(); err != nil {
		jw.err = fmt.Errorf("write JSON lines: %w", err)
		return jw
	}
	_ = jw.write(jsonHeader{ // sticks
		Kind: kindHeader, Version: versionMajor, TakenAt: &header.TakenAt, Intervals: header.Intervals,
		Sequence: header.Sequence, Creator: text(header.Creator), Positions: positionsToJSON(header.Positions),
	})
	return jw
}

// WriteTopic writes one topic. The topic must obey the bounds that its type states.
func (w *JSONWriter) WriteTopic(t *Topic) error {
	if err := w.ready(); err != nil {
		return err
	}
	if err := t.validate(); err != nil {
		w.err = fmt.Errorf("write JSON lines: %w", err)
		return w.err
	}
	if err := w.write(t.toJSON()); err != nil {
		return err
	}
	w.sum.Topics++
	return nil
}

// WriteGroup writes one group. The group must obey the bounds that its type states.
func (w *JSONWriter) WriteGroup(g *Group) error {
	if err := w.ready(); err != nil {
		return err
	}
	if err := g.validate(); err != nil {
		w.err = fmt.Errorf("write JSON lines: %w", err)
		return w.err
	}
	if err := w.write(g.toJSON()); err != nil {
		return err
	}
	w.sum.addGroup(g)
	return nil
}

// Close writes the last line, which counts the others. It does not close the io.Writer. Called again, it returns
// ErrClosed.
func (w *JSONWriter) Close() (Summary, error) {
	if w.closed {
		return Summary{}, ErrClosed
	}
	w.closed = true
	_ = w.write(jsonEnd{ // sticks
		Kind: kindEnd, Topics: w.sum.Topics, Groups: w.sum.Groups, Partitions: w.sum.GroupPartitions,
		Commits: w.sum.Commits,
	})
	if w.err != nil {
		return Summary{}, w.err
	}
	return w.sum, nil
}

func (w *JSONWriter) ready() error {
	if w.closed && w.err == nil {
		return ErrClosed
	}
	return w.err
}

// write writes a line. An error sticks, unless nothing was written because the line is too long.
func (w *JSONWriter) write(line any) error {
	if w.err != nil {
		return w.err
	}
	w.line.Reset()
	err := w.encoder.Encode(line) // ends the line
	n := 0
	switch length := w.line.Len() - 1; {
	case err != nil:
	case length > w.maxLine:
		return fmt.Errorf("write JSON lines: a line of %d bytes, more than %d: %w", length, w.maxLine, ErrTooLarge)
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
