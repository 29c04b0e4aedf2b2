package store

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// VersionError says that a record was written by a newer Berth than this one. Reading it could lose what the
// newer one put there, so the store does not open.
type VersionError struct {
	Table, Key  string
	Found, Know int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("record %s %s has version %d and this Berth knows up to %d: run the Berth that wrote it, or a newer one",
		e.Table, e.Key, e.Found, e.Know)
}

// encode gives the record's JSON, with its version as first field.
func (d *descriptor) encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if d.ownField {
		return raw, nil
	}
	out := make([]byte, 0, len(raw)+8)
	out = append(out, `{"v":`...)
	out = strconv.AppendInt(out, int64(d.version), 10)
	if len(raw) > 2 {
		out = append(out, ',')
	}
	return append(out, raw[1:]...), nil
}

// read decodes what encode made, of this version or an older one.
func (d *descriptor) read(key string, raw []byte) (any, error) {
	version, err := versionOf(raw)
	if err != nil {
		return nil, fmt.Errorf("record %s %s: %w", d.name, key, err)
	}
	if version > d.version {
		return nil, &VersionError{Table: d.name, Key: key, Found: version, Know: d.version}
	}
	v, err := d.decode(version, raw)
	if err != nil {
		return nil, fmt.Errorf("record %s %s: %w", d.name, key, err)
	}
	return v, nil
}

// versionOf finds the version; encode puts it first, so the full parse is rarely needed.
func versionOf(raw []byte) (int, error) {
	const lead = `{"v":`
	if len(raw) > len(lead) && string(raw[:len(lead)]) == lead {
		n, i := 0, len(lead)
		for ; i < len(raw) && raw[i] >= '0' && raw[i] <= '9'; i++ {
			n = n*10 + int(raw[i]-'0')
		}
		if i > len(lead) {
			return max(n, 1), nil
		}
	}
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return 0, err
	}
	return max(head.V, 1), nil
}

func decoder[T any](d *descriptor, upgrade func(from int, raw []byte) (T, error)) func(int, []byte) (any, error) {
	return func(version int, raw []byte) (any, error) {
		if version < d.version && upgrade != nil {
			return upgrade(version, raw)
		}
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, err
		}
		return v, nil
	}
}
