package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"berth/aws"
)

// readBody reads the body as it was sent, up to the limit.
func (f *frontDoor) readBody(c *call) ([]byte, error) {
	if c.r.ContentLength > f.BodyLimit {
		return nil, tooLarge(f.BodyLimit)
	}
	// From here on net/http watches whether the client leaves; a deadline would look as if it had.
	defer func() { _ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) }()
	if c.r.ContentLength == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if n := c.r.ContentLength; n > 0 && n <= 64<<10 {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, f.BodyLimit))
	c.w.in = n
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(f.BodyLimit)
	}
	if err != nil {
		return nil, &aws.Error{Code: "RequestTimeout", Message: "The body of the request did not arrive.", Status: http.StatusBadRequest}
	}
	return b.Bytes(), nil
}

// unpack undoes Content-Encoding. It runs after the signature is verified.
func unpack(r *http.Request, payload []byte, limit int64) ([]byte, error) {
	for _, encoding := range strings.Split(r.Header.Get("Content-Encoding"), ",") {
		switch strings.ToLower(strings.TrimSpace(encoding)) {
		case "", "identity", "aws-chunked":
		case "gzip":
			out, err := gunzip(payload, limit)
			if err != nil {
				return nil, err
			}
			payload = out
		default:
			return nil, &aws.Error{Code: "UnsupportedMediaType", Message: "Content-Encoding must be gzip or absent.", Status: http.StatusUnsupportedMediaType}
		}
	}
	return payload, nil
}

func gunzip(payload []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, aws.Errorf("SerializationException", "The body is not in gzip form.")
	}
	out, err := io.ReadAll(io.LimitReader(z, limit+1))
	if err != nil {
		return nil, aws.Errorf("SerializationException", "The body is not in gzip form.")
	}
	if int64(len(out)) > limit {
		return nil, tooLarge(limit)
	}
	return out, nil
}

func tooLarge(limit int64) *aws.Error {
	e := aws.Errorf("RequestEntityTooLargeException", "The body is larger than %d bytes.", limit)
	e.Status = http.StatusRequestEntityTooLarge
	return e
}
