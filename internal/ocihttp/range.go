// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"strconv"
	"strings"

	"tare/internal/oci"
)

// span is a range of bytes: where it begins and how many there are.
type span struct{ offset, length int64 }

// contentRange is the Content-Range of a response that sends the span of content of the given size.
func (s span) contentRange(size int64) string {
	b := append(make([]byte, 0, 64), "bytes "...)
	b = strconv.AppendInt(b, s.offset, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.offset+s.length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}

// parseRange reads a Range header for content of the given size (RFC 9110, "Range"). Without one, or where it may be
// ignored and is (another unit, several ranges, empty content), part is false: all is to be sent. The error is
// RANGE_INVALID: the range is malformed, or none of it is there.
func parseRange(header string, size int64) (s span, part bool, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || size == 0 || strings.IndexByte(spec, ',') >= 0 {
		return span{0, size}, false, nil
	}
	invalid := oci.Errorf(oci.RangeInvalid, "%q of %d bytes", clip(header), size)
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return span{}, false, invalid
	}
	if first == "" {
		n, ok := parseInt(last)
		if !ok || n == 0 {
			return span{}, false, invalid
		}
		n = min(n, size)
		return span{size - n, n}, true, nil
	}
	from, ok := parseInt(first)
	if !ok || from >= size {
		return span{}, false, invalid
	}
	to := size - 1
	if last != "" {
		n, ok := parseInt(last)
		if !ok || n < from {
			return span{}, false, invalid
		}
		to = min(to, n)
	}
	return span{from, to - from + 1}, true, nil
}

// parseContentRange reads the Content-Range of a chunk, which is the specification's own ("Pushing a blob in chunks"):
// first and last byte, both included.
func parseContentRange(header string) (s span, ok bool) {
	first, last, ok := strings.Cut(header, "-")
	if !ok {
		return span{}, false
	}
	from, ok1 := parseInt(first)
	to, ok2 := parseInt(last)
	if !ok1 || !ok2 || to < from || to-from+1 <= 0 {
		return span{}, false
	}
	return span{from, to - from + 1}, true
}

// uploadRange is the Range header that says how much of an upload has come. It cannot say "nothing": by custom that is
// 0-0, as one byte is.
func uploadRange(offset int64) string {
	return "0-" + strconv.FormatInt(max(offset-1, 0), 10)
}

// parseInt reads a number of nothing but digits. One that is too large is taken for the largest.
func parseInt(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || '9' < s[i] {
			return 0, false
		}
	}
	n, _ = strconv.ParseInt(s, 10, 64) // out of range is the only error left, and gives the largest
	return n, s != ""
}
