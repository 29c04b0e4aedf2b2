package iam

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // a checksum that clients choose, not a protection
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
)

// The values of x-amz-content-sha256 that are not a hash. Source: S3 API reference, "Signature calculations".
const (
	unsignedPayload         = "UNSIGNED-PAYLOAD"
	streamingSigned         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamingSignedTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamingUnsignedTailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// chunked is a body in the aws-chunked encoding:
//
//	SIZE[;chunk-signature=MAC]\r\n DATA \r\n ... 0[;chunk-signature=MAC]\r\n [trailer:VALUE\r\n ...] \r\n
type chunked struct {
	form    string
	body    []byte
	length  int // x-amz-decoded-content-length, -1 if absent
	trailer string
}

func newChunked(form string, r *http.Request, body []byte) *chunked {
	c := &chunked{form: form, body: body, length: -1, trailer: strings.ToLower(r.Header.Get("X-Amz-Trailer"))}
	if n, err := strconv.Atoi(r.Header.Get("X-Amz-Decoded-Content-Length")); err == nil {
		c.length = n
	}
	return c
}

// verify takes the frames off and checks each chunk's signature, which is over the one before it. A nil key checks the
// frames alone.
func (c *chunked) verify(s *signature, key []byte) (payload []byte, good bool) {
	signed := c.form == streamingSigned || c.form == streamingSignedTrailer
	if !signed && c.form != streamingUnsignedTailer {
		return nil, false
	}
	rest, previous := c.body, s.mac
	payload = make([]byte, 0, len(c.body))
	for {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found {
			return nil, false
		}
		size, sum, ok := chunkHead(string(line))
		if !ok || size > len(after) {
			return nil, false
		}
		data := after[:size]
		if signed && key != nil {
			if !s.chunkGood(key, "AWS4-HMAC-SHA256-PAYLOAD", previous, hashHex(nil)+"\n"+hashHex(data), sum) {
				return nil, false
			}
			previous = sum
		}
		rest = after[size:]
		if size == 0 {
			break
		}
		if rest, found = bytes.CutPrefix(rest, []byte("\r\n")); !found {
			return nil, false
		}
		payload = append(payload, data...)
	}
	if c.length >= 0 && c.length != len(payload) {
		return nil, false
	}
	return payload, c.trailers(s, key, rest, previous, payload)
}

// chunkHead reads SIZE or SIZE;chunk-signature=MAC.
func chunkHead(line string) (size int, sum string, ok bool) {
	digits, extension, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(digits, 16, 31)
	if err != nil {
		return 0, "", false
	}
	sum, _ = strings.CutPrefix(extension, "chunk-signature=")
	return int(n), sum, true
}

func (s *signature) chunkGood(key []byte, kind, previous, hashes, sum string) bool {
	text := kind + "\n" + s.at.Format(timeForm) + "\n" + s.scope() + "\n" + previous + "\n" + hashes
	want := hex.EncodeToString(mac(key, text))
	return subtle.ConstantTimeCompare([]byte(want), []byte(sum)) == 1
}

// trailers checks what follows the last chunk: the checksum that x-amz-trailer announced, and its signature.
func (c *chunked) trailers(s *signature, key []byte, rest []byte, previous string, payload []byte) bool {
	if c.form == streamingSigned {
		return len(bytes.TrimSpace(rest)) == 0
	}
	var canonical, sum, value string
	for line := range strings.SplitSeq(string(rest), "\r\n") {
		line = strings.TrimSuffix(line, "\n")
		name, v, found := strings.Cut(line, ":")
		if !found {
			continue
		}
		name, v = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(v)
		if name == "x-amz-trailer-signature" {
			sum = v
			continue
		}
		canonical += name + ":" + v + "\n"
		if name == c.trailer {
			value = v
		}
	}
	if c.form == streamingSignedTrailer && key != nil && !s.chunkGood(key, "AWS4-HMAC-SHA256-TRAILER", previous, hashHex([]byte(canonical)), sum) {
		return false
	}
	return checksumGood(c.trailer, value, payload)
}

// checksumGood compares the checksums that can be computed here; CRC-64/NVME is taken as sent.
func checksumGood(name, value string, payload []byte) bool {
	var h hash.Hash
	switch name {
	case "x-amz-checksum-crc32":
		h = crc32.NewIEEE()
	case "x-amz-checksum-crc32c":
		h = crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "x-amz-checksum-sha1":
		h = sha1.New() //nolint:gosec // see the import
	case "x-amz-checksum-sha256":
		h = sha256.New()
	default:
		return true
	}
	h.Write(payload)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) == value
}
