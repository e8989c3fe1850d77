package inspector

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
)

// body is what an answer holds. It never changes, so any number of requests may be answered with it.
type body struct {
	contentType string
	tag         string
	plain       []byte
	pack        func() []byte // returns plain compressed, and does so once
}

// size is the memory that the body takes, of which what is compressed is a fifth as a rule.
func (b *body) size() int { return len(b.plain) + len(b.plain)/5 }

// gzipFrom is the size from which a body is compressed: below, it fits into one packet anyway.
const gzipFrom = 1400

func newBody(contentType string, plain []byte) *body {
	sum := sha256.Sum256(plain)
	return &body{
		contentType: contentType, plain: plain, tag: `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		pack: sync.OnceValue(func() []byte { return pack(plain) }),
	}
}

// packers keeps writers of gzip: each holds hundreds of kilobytes.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

func pack(plain []byte) []byte {
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	var b bytes.Buffer
	z.Reset(&b)
	_, _ = z.Write(plain)
	_ = z.Close()
	return b.Bytes()
}

// serve writes the body with an ETag, compressed if the client takes that, or 304 if the client has it.
func (b *body) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("ETag", b.tag)
	header.Set("Cache-Control", "private, no-cache")
	header.Add("Vary", "Accept-Encoding")
	for _, has := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimSpace(has) == b.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	header.Set("Content-Type", b.contentType)
	if len(b.plain) < gzipFrom || !takesGzip(r) {
		_, _ = w.Write(b.plain)
		return
	}
	header.Set("Content-Encoding", "gzip")
	_, _ = w.Write(b.pack())
}

func takesGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name == "gzip" && strings.ReplaceAll(weight, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
