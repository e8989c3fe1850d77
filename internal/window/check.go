package window

import (
	"encoding/binary"
	"fmt"
)

// Check returns the size of the window with which a run of windows begins, whose last Padding bytes belong to none, or an error
// if that is no window. A window that passes can be read and changed without a fault; its commits may be any.
func Check(run []byte) (size int, err error) {
	if len(run) < HeaderSize+Padding {
		return 0, fmt.Errorf("a window claims at least %d bytes, %d are left", HeaderSize, max(0, len(run)-Padding))
	}
	w := Window(run)
	f := w.form()
	if f.size < HeaderSize || f.size > len(run)-Padding {
		return 0, fmt.Errorf("a window claims %d bytes: must be between %d and the %d that are left", f.size, HeaderSize, len(run)-Padding)
	}
	if w.first()>>unusedShift != 0 || f.wide > turned || !w.wellFormed() {
		return 0, fmt.Errorf("a window of the form %#x, %#x", w.first(), w.second())
	}
	if f.count > MaxCommits || f.head > 0 && f.head >= f.count {
		return 0, fmt.Errorf("a window of %d commits, the oldest at %d", f.count, f.head)
	}
	if needed := f.needs(f.count); needed > f.size {
		return 0, fmt.Errorf("a window of %d commits has %d bytes, it needs %d", f.count, f.size, needed)
	}
	if f.size < f.count {
		return 0, fmt.Errorf("a window of %d commits has %d bytes, fewer than commits", f.count, f.size)
	}
	return f.size, nil
}

// wellFormed reports whether all widths and anchors are such as a form has. Others would be read as one of these, or overlap.
func (w Window) wellFormed() bool {
	first, second := w.first(), w.second()
	if first>>lagAnchorShift&3 == 3 || first>>observedAnchorShift&3 == 3 {
		return false
	}
	ok := widthExists(first >> observedShift)
	for range 4 {
		ok = ok && widthExists(second)
		second >>= 6
	}
	return ok
}

func widthExists(field uint64) bool {
	field &= widthMask
	return field <= maxWidth || field == widthMask
}

// Padded returns the size of the window, or if that is less than a byte for each commit, the size that it must have for Check: what is
// made of its commits is then in proportion to what was read.
func (w Window) Padded() int {
	first := binary.LittleEndian.Uint32(w)
	size, count := int(first&sizeMask)*Unit, int(first>>countShift&countMask)
	if size < count {
		return align(count)
	}
	return size
}
