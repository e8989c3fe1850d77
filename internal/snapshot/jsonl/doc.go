// Package jsonl writes and reads the records of a snapshot as JSON lines, docs/format/jsonl.md, for people and scripts.
package jsonl
