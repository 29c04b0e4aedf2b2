package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"reflect"
	"time"

	"berth/aws"
)

// beforeStream is how long after its request a stream begins. smithy-go (seen in 1.28.9) closes a request's body when the answer's head is
// there, while net/http may still look for the end of that body; it then finds io.EOF from WriteTo, which counts as a failed write,
// and net/http closes the connection under the stream. AWS is far enough away that nobody sees it there.
const beforeStream = 100 * time.Millisecond

// stream sends the output of op as application/vnd.amazon.eventstream: first its other members as initial-response, then
// each event. It ends when the stream's function returns. Only the JSON protocol has such operations.
func (f *frontDoor) stream(c *call, op *aws.Operation, out any) error {
	events, _ := reflect.ValueOf(out).Elem().Field(op.Stream - 1).Interface().(aws.EventStream)
	if events == nil {
		return fmt.Errorf("%s returned no event stream", op.Name)
	}
	initial, err := marshal(out)
	if err != nil {
		return fmt.Errorf("encode the first answer of %s: %w", op.Name, err)
	}
	control := http.NewResponseController(c.w)
	write := func(frame []byte) error {
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		if _, err := c.w.Write(frame); err != nil {
			return err
		}
		return control.Flush()
	}
	select {
	case <-time.After(beforeStream):
	case <-c.r.Context().Done():
		return nil
	}
	c.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	if err := write(frame("event", "initial-response", initial)); err != nil {
		return err
	}
	ctx, cancel := untilEnding(aws.WithRequestID(aws.WithCaller(c.r.Context(), c.caller), c.id))
	defer cancel()
	err = events(ctx, func(event string, payload any) error {
		data, err := marshal(payload)
		if err != nil {
			return fmt.Errorf("encode event %s of %s: %w", event, op.Name, err)
		}
		return write(frame("event", event, data))
	})
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	shown, ok := errors.AsType[*aws.Error](err)
	if !ok {
		f.Log.Error("event stream failed", "request", c.id, "op", op.Name, "err", err)
		shown = aws.Errorf("InternalFailure", "Service Unavailable. Please try again later.")
	}
	c.code = shown.Code
	data, err := marshal(map[string]string{"message": shown.Message})
	if err != nil {
		return err
	}
	return write(frame("exception", shown.Code, data))
}

// stringHeader is the type byte of a string in a frame's headers.
const stringHeader = 7

// frame is one message of the event stream encoding: lengths, headers, payload, and two CRC-32 sums.
func frame(kind, name string, payload []byte) []byte {
	var headers []byte
	for _, h := range [][2]string{{":" + kind + "-type", name}, {":content-type", "application/json"}, {":message-type", kind}} {
		headers = append(headers, byte(len(h[0])))
		headers = append(headers, h[0]...)
		headers = append(headers, stringHeader)
		headers = binary.BigEndian.AppendUint16(headers, uint16(len(h[1])))
		headers = append(headers, h[1]...)
	}
	const fixed = 16 // prelude 8, its sum 4, message sum 4
	out := binary.BigEndian.AppendUint32(nil, uint32(fixed+len(headers)+len(payload)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(headers)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
	out = append(append(out, headers...), payload...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}
