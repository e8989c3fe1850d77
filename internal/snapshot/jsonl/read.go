package jsonl

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// Report is the result of Read.
type Report struct {
	Header  snapshot.Header
	Summary snapshot.Summary
	// Complete is true if the last line has the right number of records. It is false without that line: the lines were made by
	// hand, or cut off.
	Complete bool
}

// Read reads a snapshot line by line. It calls begin with the header, which is the first line, then passes each topic and
// group to the sink in the order of the lines; the sink may keep them. If a line is invalid it returns a *LineError that
// names the line, around a *VersionError for an unknown version and around ErrLineTooLong for a line longer than maxLine
// bytes (0: DefaultMaxLine). An error of begin or the sink is returned inside a *LineError too. The sink has got all records
// before the invalid line, and must be able to drop them.
func Read(r io.Reader, maxLine int, begin func(snapshot.Header) error, sink snapshot.Sink) (Report, error) {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	jr := reader{begin: begin, sink: sink}
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for number := 1; ; number++ {
		var err error
		line, err = readLine(in, line[:0], maxLine)
		jr.report.Summary.Bytes += uint64(len(line))
		last := errors.Is(err, io.EOF)
		if err == nil || last {
			if err = nil; len(bytes.TrimSpace(line)) > 0 {
				if err = checkDensity(line); err == nil {
					err = jr.line(line)
				}
			} else if last && !jr.begun {
				err = errors.New("no header: the input is empty")
			}
		}
		if err != nil {
			return jr.report, &LineError{Line: number, Err: err}
		}
		if last {
			return jr.report, nil
		}
	}
}

// readLine appends the next line to dst, its line feed included. It returns io.EOF with the last line if no line feed
// ends it.
func readLine(in *bufio.Reader, dst []byte, maxLine int) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		length := len(dst) + len(part)
		if err == nil {
			length-- // the line feed
		}
		if length > maxLine {
			return dst, fmt.Errorf("%w: more than %d bytes", ErrLineTooLong, maxLine)
		}
		dst = append(dst, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return dst, err
		}
	}
}

type reader struct {
	begin  func(snapshot.Header) error
	sink   snapshot.Sink
	report Report
	// begun is true after the header, ended after the end line.
	begun, ended bool
}

func (r *reader) line(line []byte) error {
	kind, err := kindOf(line)
	switch {
	case err != nil:
		return err
	case r.ended:
		return fmt.Errorf("%q follows the line of kind %q, which is the last", kind, kindEnd)
	case r.begun == (kind == kindHeader):
		return fmt.Errorf("kind is %q: the first line, and no other, is of kind %q", kind, kindHeader)
	}
	switch kind {
	case kindHeader:
		return r.header(line)
	case kindTopic:
		var j jsonTopic
		if err := unmarshalStrict(line, &j); err != nil {
			return err
		}
		t, err := j.topic()
		if err != nil {
			return err
		}
		r.report.Summary.Topics++
		return r.sink.WriteTopic(t)
	case kindGroup:
		var j jsonGroup
		if err := unmarshalStrict(line, &j); err != nil {
			return err
		}
		g, err := j.group()
		if err != nil {
			return err
		}
		r.report.Summary.AddGroup(g)
		return r.sink.WriteGroup(g)
	case kindEnd:
		return r.end(line)
	}
	return fmt.Errorf("kind is %q, must be %q, %q, %q or %q", kind, kindHeader, kindTopic, kindGroup, kindEnd)
}

func (r *reader) header(line []byte) error {
	var said struct {
		Version *int `json:"version"`
	}
	switch err := json.Unmarshal(line, &said); {
	case err != nil:
		return err
	case said.Version == nil:
		return errors.New("header without version")
	case *said.Version != version:
		return &snapshot.VersionError{Version: *said.Version, Known: version}
	}
	var j jsonHeader
	if err := unmarshalStrict(line, &j); err != nil {
		return err
	}
	if j.TakenAt == nil {
		return errors.New("header without taken_at")
	}
	header := snapshot.Header{TakenAt: *j.TakenAt, Intervals: j.Intervals, Sequence: j.Sequence}
	var err error
	if header.Positions, err = positionsOf(j.Positions); err != nil {
		return err
	}
	if err := header.Validate(); err != nil {
		return err
	}
	r.report.Header, r.begun = header, true
	return r.begin(header)
}

func (r *reader) end(line []byte) error {
	var j jsonEnd
	if err := unmarshalStrict(line, &j); err != nil {
		return err
	}
	s := r.report.Summary
	for _, count := range [...]struct {
		what       string
		said, seen uint64
	}{
		{"topics", j.Topics, s.Topics}, {"groups", j.Groups, s.Groups},
		{"group_partitions", j.Partitions, s.GroupPartitions}, {"commits", j.Commits, s.Commits},
	} {
		if count.said != count.seen {
			return fmt.Errorf("invalid count of %[2]s %[1]d: there are %[3]d", count.said, count.what, count.seen)
		}
	}
	r.ended, r.report.Complete = true, true
	return nil
}

// kindOf returns the kind of a line. Lines in the form in which they are written need not be parsed for it.
func kindOf(line []byte) (string, error) {
	for _, kind := range [...]string{kindGroup, kindTopic} {
		if bytes.HasPrefix(line, []byte(`{"kind":"`+kind+`",`)) {
			return kind, nil
		}
	}
	var k jsonKind
	if err := json.Unmarshal(line, &k); err != nil {
		return "", err
	}
	return k.Kind, nil
}

// unmarshalStrict refuses unknown keys, so that a typing error loses nothing silently.
func unmarshalStrict(line []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value in the line")
	}
	return nil
}
